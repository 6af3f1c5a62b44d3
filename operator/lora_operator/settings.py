"""Settings of the platform: environment variables with the prefix LORA_OPERATOR_, read once at the start."""

from __future__ import annotations

import ipaddress
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lora_contract.finetune.quantity import parse_quantity
from lora_contract.names import GPU_RESOURCE
from lora_operator.run_egress import EgressRule
from lora_operator.run_pods import CaBundle, PodLabels, PodSpec, Variables

#: A list written as text: items separated by commas.
CommaSeparated = Annotated[tuple[str, ...], NoDecode]


def _size(value: object) -> object:
    """Read the bytes of a quantity such as 80Gi; None where it is empty."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    size = parse_quantity(value.strip())
    if size is None or size < 1 << 20:
        raise ValueError("write it as 80Gi or 24576Mi: at least 1Mi; a number without a suffix is bytes")
    return int(size)


def _quantity(text: str) -> str:
    if text and parse_quantity(text) is None:
        raise ValueError("write it as a quantity of Kubernetes, such as 500m or 2Gi")
    return text


#: A quantity of Kubernetes; empty: none.
Quantity = Annotated[str, AfterValidator(_quantity)]

#: Bytes, written as a Kubernetes quantity; empty: none.
Size = Annotated[int | None, BeforeValidator(_size)]

#: A decimal number above 0; empty: none.
Amount = Annotated[
    Annotated[Decimal, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(lambda value: value or None)
]


class Price(NamedTuple):
    """What a GPU costs."""

    per_hour: Decimal
    currency: str


class Settings(BaseSettings):
    """What the platform decides for every run. The chart's values carry the same names."""

    model_config = SettingsConfigDict(env_prefix="LORA_OPERATOR_", frozen=True, extra="ignore")

    trainer_image: str = Field(description="Image of train pods.")
    prepare_image: str = Field("", description="Image of prepare pods; empty: the trainer image.")
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        "IfNotPresent", description="imagePullPolicy of the pods."
    )
    image_pull_secrets: CommaSeparated = Field((), description="Names of pull Secrets in the namespaces of the runs.")
    default_s3_endpoint: str = Field("", description="S3 endpoint where a run names none; empty: that of AWS.")
    allowed_s3_endpoints: CommaSeparated = Field((), description="Endpoints that a run may name besides the default.")
    allow_node_identity: bool = Field(
        False, description="Runs without Secret and ServiceAccount may use the cloud identity of their node."
    )
    network_policies: bool = Field(True, description="Make the NetworkPolicies of run pods.")
    metadata_addresses: CommaSeparated = Field(
        ("169.254.169.254/32", "fd00:ec2::254/128"),
        description="Address blocks of the cloud's metadata service, which run pods may not reach.",
    )
    run_egress: tuple[EgressRule, ...] = Field(
        (),
        description="All that run pods may connect to, as rules of a NetworkPolicy; none: all but that service. JSON.",
    )
    default_cache_claim: str = Field("", description="PersistentVolumeClaim of the model cache where a run names none.")
    gpu_resource_name: str = Field(GPU_RESOURCE, description="Resource name of GPUs where a run leaves the default.")
    gpu_memory: Size = Field(
        None, description="Memory of the largest GPU of the cluster, such as 80Gi; none: what the nodes' labels say."
    )
    read_gpu_nodes: bool = Field(False, description="Read the GPU memory in the nodes' labels; needs that right.")
    gpu_price_per_hour: Amount = Field(None, description="Price of one GPU for an hour; none: no cost is told.")
    gpu_price_currency: str = Field("", max_length=16, description="Currency of that price, such as EUR.")
    allow_cpu: bool = Field(
        False, description="Pods that were given GPUs train on the CPU where CUDA finds none: for trial clusters."
    )
    prepare_cpu: Quantity = Field("500m", description="CPU request of prepare pods.")
    prepare_cpu_limit: Quantity = Field("", description="CPU limit of prepare pods; empty: none.")
    train_cpu_limit: Quantity = Field(
        "", description="CPU limit of train pods whose run sets none, or their request where that is more; empty: none."
    )
    prepare_deadline_seconds: int = Field(
        6 * 3600, ge=60, description="Seconds that a prepare Job may take, its retry included."
    )
    prepare_memory: Quantity = Field("2Gi", description="Memory request and limit of prepare pods.")
    prepare_scratch: Size = Field(
        100 << 30, description="The most that a prepare pod may write to disk; none: no limit."
    )
    prepare_ephemeral_storage: Size = Field(
        None, description="Request of ephemeral-storage of prepare pods; none: none."
    )
    train_scratch: Size = Field(
        None, description="The most that a train pod may write to disk; none: what the plan lets expect."
    )
    train_ephemeral_storage: Size = Field(None, description="Request of ephemeral-storage of train pods; none: none.")
    shared_memory: Size = Field(1 << 30, description="Size of /dev/shm of train pods for each GPU; none: no limit.")
    unavailable_budget_seconds: int = Field(120, ge=1, description="How long S3 or the Hub may be away for a pod.")
    propagated_labels: CommaSeparated = Field((), description="Label keys copied from a run to its Jobs and pods.")
    pod_annotations: dict[str, str] = Field({}, description="Annotations of every pod, as JSON.")
    pod_labels: PodLabels = Field({}, description="Labels of every pod, as JSON.")
    extra_env: Variables = Field((), description="Variables of every pod, such as proxies, as JSON.")
    ca_bundle: CaBundle = Field(CaBundle(), description="Certificate authorities of the platform, as JSON.")
    train_pod_spec: PodSpec = Field(PodSpec(), description="Fields of the spec of train pods, as JSON.")
    prepare_pod_spec: PodSpec = Field(PodSpec(), description="Fields of the spec of prepare pods, as JSON.")

    progress_url: str = Field("", description="Base URL of the progress endpoint; empty: pods report no progress.")
    progress_ca_file: Path | None = Field(None, description="File with the certificate authority of that URL, PEM.")
    progress_ca: str = Field("", description="The same as text; read from the file where that is set.")
    progress_host: str = Field("", description="Address on which the progress endpoint listens; empty: all.")
    progress_port: int = Field(8443, description="Port of the progress endpoint.")
    tls_cert_file: Path | None = Field(None, description="Certificate of the progress endpoint, PEM.")
    tls_key_file: Path | None = Field(None, description="Private key of the progress endpoint, PEM.")

    watch_namespaces: CommaSeparated = Field((), description="Namespaces to look after; empty: all.")
    lease_name: str = Field("lora-operator", description="Lease that the leader holds.")
    lease_namespace: str = Field("", description="Namespace of the Lease; empty: no leader election.")
    health_port: int = Field(8080, description="Port of liveness, readiness and metrics.")
    workers: int = Field(32, ge=1, description="Runs that are looked at side by side.")
    resync_seconds: float = Field(
        300.0, gt=0, description="Seconds between two full lists, each with a look at every run."
    )
    log_format: Literal["json", "text"] = Field("json", description="How the log reads.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="What the log shows.")

    @field_validator(
        "image_pull_secrets",
        "allowed_s3_endpoints",
        "metadata_addresses",
        "propagated_labels",
        "watch_namespaces",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("metadata_addresses")
    @classmethod
    def _check_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            ipaddress.ip_network(address)
        return value

    @model_validator(mode="before")
    @classmethod
    def _read_progress_ca(cls, values: object) -> object:
        if isinstance(values, dict) and (file := values.get("progress_ca_file")):
            return {**values, "progress_ca": Path(file).read_text(encoding="ascii")}
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.progress_url.startswith("https://") and bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise ValueError("set both of tls_cert_file and tls_key_file, or none")
        request, limit = parse_quantity(self.prepare_cpu), parse_quantity(self.prepare_cpu_limit)
        if request is not None and limit is not None and limit < request:
            raise ValueError("prepare_cpu_limit must not be below prepare_cpu: the API server refuses such pods")
        if (self.gpu_price_per_hour is None) != (not self.gpu_price_currency):
            raise ValueError("set both of gpu_price_per_hour and gpu_price_currency, or none")
        return self

    @property
    def gpu_price(self) -> Price | None:
        """What a GPU costs, where the platform says so."""
        return None if self.gpu_price_per_hour is None else Price(self.gpu_price_per_hour, self.gpu_price_currency)
