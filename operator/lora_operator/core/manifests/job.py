"""The Jobs of a run. Each is created once under a name that follows from the run, and never re-applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lora_contract import exit_codes, identity, names
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.order import Order
from lora_contract.status import ParentStatus, PlanStatus
from lora_operator.core.manifests.pod_template import cache_claim, pod_template
from lora_operator.core.observe.observed import FineTune, Job
from lora_operator.core.observe.pod import JOB_NAME_LABEL
from lora_operator.core.queues import kueue
from lora_operator.settings import Settings

#: A prepare pod waits for S3 and the Hub by itself; a second one helps against a bad node.
_PREPARE_RETRIES = 1


def job_manifest(
    finetune: FineTune,
    spec: LoRAFineTuneSpec,
    settings: Settings,
    *,
    stage: names.Stage,
    name: str,
    spec_hash: str,
    run_id: str | None = None,
    parent: ParentStatus | None = None,
    plan: PlanStatus | None = None,
    retries: int | None = None,
    avoid_nodes: Sequence[str] = (),
) -> dict[str, Any]:
    """Build the Job of one stage. It holds no secret: Secrets are named, the kubelet reads them.

    A Job that is made anew gets the `retries` that are left, and stays away from `avoid_nodes` where it can.
    """
    order = Order(
        stage=stage,
        namespace=finetune.namespace,
        name=finetune.name,
        uid=finetune.uid,
        spec=spec,
        run_id=run_id,
        parent=parent,
        plan=plan,
        scratch=names.SCRATCH_PATH,
        cache=names.CACHE_PATH if cache_claim(spec, settings) else None,
        unavailable_budget_seconds=settings.unavailable_budget_seconds,
    )
    labels = _labels(finetune, settings, stage)
    annotations = {names.ANNOTATION_SPEC_HASH: spec_hash, names.ANNOTATION_REQUEST_HASH: request_hash(spec, stage)}
    annotations |= {names.ANNOTATION_RUN_ID: run_id} if run_id else {}
    queued = stage == names.STAGE_TRAIN and spec.scheduling.queue_name is not None
    annotations |= {kueue.SAME_SIZE_ANNOTATION: "true"} if queued else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": finetune.namespace,
            "labels": labels | (kueue.job_labels(spec.scheduling) if queued else {}),
            "annotations": annotations,
            "ownerReferences": [_owner(finetune)],
        },
        "spec": _job_spec(spec, settings, stage, queued=queued, retries=spec.retries if retries is None else retries)
        | {"template": pod_template(order, settings, job=name, labels=labels, avoid_nodes=avoid_nodes)},
    }


def request_hash(spec: LoRAFineTuneSpec, stage: names.Stage) -> str:
    """Hash what the Job of a stage depends on beside the recipe, to 16 hexadecimal digits.

    Fields at their default are left out, so a release that adds one makes no Job anew.
    """
    given = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, warnings=False)
    model = given.get("model", {})
    parts = {"storage": given.get("storage"), "token": model.get("tokenSecretName"), "cache": model.get("cache")}
    if stage == names.STAGE_TRAIN:
        parts |= {part: given.get(part) for part in ("compute", "scheduling", "retries")}
    return identity.digest(parts)[:16]


def service_manifest(finetune: FineTune, settings: Settings, job: Job) -> dict[str, Any]:
    """Build the headless Service that names the pods of a Job on several nodes. It goes with the Job.

    Names of pods that are not ready count too: pods are ready only once they have found each other.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": names.service_name(job.name),
            "namespace": finetune.namespace,
            "labels": _labels(finetune, settings, job.stage),
            "ownerReferences": [owner_job(job)],
        },
        "spec": {
            "clusterIP": "None",
            "selector": {JOB_NAME_LABEL: job.name},
            "publishNotReadyAddresses": True,
            "ports": [{"name": "group", "port": names.GROUP_PORT}],
        },
    }


def owner_job(job: Job) -> dict[str, Any]:
    """Build the owner reference of what goes with a Job."""
    return {"apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": job.uid, "controller": True}


def _labels(finetune: FineTune, settings: Settings, stage: str) -> dict[str, str]:
    """Return our labels, and of the user's those that the platform lists: tools that prune by label read them."""
    copied = {key: finetune.labels[key] for key in settings.propagated_labels if key in finetune.labels}
    return copied | {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_FINETUNE: finetune.name,
        names.LABEL_FINETUNE_UID: finetune.uid,
        names.LABEL_STAGE: stage,
    }


def _owner(finetune: FineTune) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": finetune.name,
        "uid": finetune.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _job_spec(spec: LoRAFineTuneSpec, settings: Settings, stage: str, *, queued: bool, retries: int) -> dict[str, Any]:
    """Build the spec, without ttlSecondsAfterFinished: a Job outlives an outage of the operator, with its result.

    The operator deletes it itself once the result is latched in the status.
    """
    train = stage == names.STAGE_TRAIN
    nodes = spec.compute.nodes if train else 1
    job: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": nodes,
        "parallelism": nodes,
        "backoffLimit": retries if train else min(retries, _PREPARE_RETRIES),
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _failure_rules()},
    }
    if queued:
        job["suspend"] = True  # Kueue lets it go; without Kueue it waits rather than jump the queue.
    elif not train:
        job["activeDeadlineSeconds"] = settings.prepare_deadline_seconds  # whatever keeps it from an answer, it ends
    elif train and spec.scheduling.max_execution_seconds:
        job["activeDeadlineSeconds"] = spec.scheduling.max_execution_seconds
    return job


def _failure_rules() -> list[dict[str, Any]]:
    """List the rules: the first that matches decides; what none matches counts against backoffLimit."""
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        _on_exit_codes("Ignore", exit_codes.NOT_COUNTED),
        _on_exit_codes("FailJob", exit_codes.FINAL),
    ]


def _on_exit_codes(action: str, codes: tuple[exit_codes.ExitCode, ...]) -> dict[str, Any]:
    values = sorted(int(code) for code in codes)
    return {
        "action": action,
        "onExitCodes": {"containerName": names.CONTAINER, "operator": "In", "values": values},
    }
