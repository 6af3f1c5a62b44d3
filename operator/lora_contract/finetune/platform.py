"""spec.output, spec.storage, spec.compute and spec.scheduling: where a run lives. None of it changes the adapter."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from lora_contract.base import Rule, SpecModel
from lora_contract.finetune.fields import (
    DNS_SUBDOMAIN,
    LABEL_KEY,
    LABEL_VALUE,
    Matches,
    ObjectName,
    StorageUri,
    cel_string,
    documented,
)
from lora_contract.finetune.quantity import CpuQuantity, MemoryQuantity, at_most, cel_at_most
from lora_contract.names import GPU_RESOURCE

LabelText = Annotated[
    str,
    StringConstraints(max_length=63),
    Matches(LABEL_VALUE, "must be a label value: at most 63 letters, digits, '-', '_' and '.', such as a100"),
]
LabelKey = Annotated[
    str, StringConstraints(max_length=317), Matches(LABEL_KEY, "must be a label key such as example.org/gpu")
]
Endpoint = Annotated[
    str,
    StringConstraints(max_length=253),
    Matches(
        r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$",
        "must be http(s)://host or http(s)://host:port without a path, such as https://s3.example.org",
    ),
]
ExtendedResource = Annotated[
    str,
    StringConstraints(max_length=128),
    Matches(r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$", "must be an extended resource with its domain, such as nvidia.com/gpu"),
]
QueueName = Annotated[
    str,
    StringConstraints(max_length=63),
    Matches(DNS_SUBDOMAIN, "must be the name of a LocalQueue: lower-case letters, digits, '-' and '.', such as team-a"),
]

_WHOLE = r"^(0|[1-9][0-9]{0,17})$"


class OutputSpec(SpecModel):
    """Where the adapter goes."""

    uri: StorageUri = documented(..., "S3 prefix below which <name>/<runId>/ is written.", "s3://adapters/team-a/")


class StorageSpec(SpecModel):
    """How the run's pods reach S3. The operator itself never reads the Secret."""

    secret_name: ObjectName | None = documented(
        None,
        "Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (also AWS_SESSION_TOKEN, AWS_REGION).",
        "s3-credentials",
    )
    service_account_name: ObjectName | None = documented(
        None, "ServiceAccount whose identity may use the buckets (IRSA, Pod Identity, workload identity).", "trainer"
    )
    endpoint: Endpoint | None = documented(
        None, "S3 endpoint; must be one the platform allows. Absent: the platform's default.", "https://s3.example.org"
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!(has(self.secretName) && has(self.serviceAccountName))",
            message="set only one of storage.secretName and storage.serviceAccountName",
            holds=lambda s: not (s.secret_name and s.service_account_name),
        ),
    )


class TolerationSpec(SpecModel):
    """A toleration as in a pod."""

    key: LabelKey = documented(..., "Taint key. A toleration of every taint is refused.", "nvidia.com/gpu")
    operator: Literal["Equal", "Exists", "Lt", "Gt"] = documented(
        "Equal", "How the value compares; Lt and Gt compare numbers, on clusters that know them.", "Exists"
    )
    value: LabelText | None = documented(None, "Taint value; none with operator Exists.", "present")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = documented(
        None, "Taint effect; absent: all effects of the key.", "NoSchedule"
    )
    toleration_seconds: int | None = documented(
        None,
        "With effect NoExecute: seconds for which a running pod tolerates the taint; absent: for ever.",
        300,
        ge=0,
        le=31_536_000,
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.operator != 'Exists' || !has(self.value) || self.value == ''",
            message="a toleration with operator Exists has no value; remove it, or use operator Equal",
            holds=lambda t: t.operator != "Exists" or not t.value,
        ),
        Rule(
            cel=f"!(self.operator in ['Lt', 'Gt']) || (has(self.value) && self.value.matches({cel_string(_WHOLE)}))",
            message="a toleration with operator Lt or Gt needs a whole number as its value, such as '950'",
            holds=lambda t: t.operator not in ("Lt", "Gt") or re.fullmatch(_WHOLE, t.value or "") is not None,
        ),
        Rule(
            cel="!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            message="tolerationSeconds needs effect: NoExecute, the one effect that ends pods; or remove it",
            holds=lambda t: t.toleration_seconds is None or t.effect == "NoExecute",
        ),
    )


class ComputeSpec(SpecModel):
    """What the train pod asks for."""

    gpus: int = documented(
        1, "GPUs a node, each with its own process and the whole model; 0 trains on the CPU.", 1, ge=0, le=16
    )
    nodes: int = documented(
        1, "Pods that train together, each with its own GPUs; they meet through a Service.", 1, ge=1, le=64
    )
    resource_name: ExtendedResource = documented(GPU_RESOURCE, "Resource name of the GPUs.", "nvidia.com/gpu")
    cpu: CpuQuantity = documented("4", "CPU request of the train pod, in cores.", "4")
    cpu_limit: CpuQuantity | None = documented(
        None,
        "CPU limit of the train pod, for namespaces whose quota counts limits. Absent: the platform's, or none.",
        "8",
    )
    memory: MemoryQuantity = documented("16Gi", "Memory request and limit of the train pod.", "32Gi")
    node_selector: Annotated[dict[str, LabelText], Field(max_length=16)] = documented(
        {}, "Labels that the node must have.", {"accelerator": "a100"}
    )
    tolerations: list[TolerationSpec] = documented(
        [], "Taints that the train pod tolerates.", [{"key": "gpu"}], max_length=16
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!self.nodeSelector.exists(k, k.startsWith('node-role.kubernetes.io/'))",
            message="compute.nodeSelector must not select node roles; name a label of worker nodes",
            holds=lambda c: not any(key.startswith("node-role.kubernetes.io/") for key in c.node_selector),
        ),
        Rule(
            cel=f"self.nodeSelector.all(k, k.matches({cel_string(LABEL_KEY)}))",
            message="compute.nodeSelector has a key that is no label key; write name or domain/name",
            holds=lambda c: all(re.fullmatch(LABEL_KEY, key) for key in c.node_selector),
        ),
        Rule(
            cel=f"!has(self.cpuLimit) || {cel_at_most('self.cpu', 'self.cpuLimit')}",
            message="compute.cpuLimit must not be below compute.cpu; raise it, or lower compute.cpu",
            holds=lambda c: c.cpu_limit is None or at_most(c.cpu, c.cpu_limit),
        ),
    )


class LimitsSpec(SpecModel):
    """What a run may use, over all its attempts; then it stops after a checkpoint until the limit is raised."""

    gpu_hours: float | None = documented(
        None, "Most GPU hours: GPUs of all nodes times the hours that train containers run.", 8.0, gt=0, le=1_000_000
    )
    cost: float | None = documented(
        None, "Most that the GPU hours may cost, in the platform's currency at its price.", 25.0, gt=0, le=1e9
    )


class SchedulingSpec(SpecModel):
    """How the train Job waits for its turn."""

    queue_name: QueueName | None = documented(
        None, "Kueue LocalQueue of the namespace; absent: the Job starts without a queue.", "team-a"
    )
    priority_class: ObjectName | None = documented(None, "Kueue WorkloadPriorityClass of the train Job.", "normal")
    max_execution_seconds: int | None = documented(
        None, "Longest time the train Job may run, in seconds, over all its attempts.", 86400, ge=60, le=31_536_000
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.priorityClass) || has(self.queueName)",
            message="scheduling.priorityClass needs scheduling.queueName: priorities order a queue",
            holds=lambda s: s.priority_class is None or s.queue_name is not None,
        ),
    )
