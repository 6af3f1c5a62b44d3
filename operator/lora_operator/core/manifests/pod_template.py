"""The pod of a stage: one container that satisfies Pod Security `restricted` and holds no secret of the operator."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lora_contract import names
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.finetune.quantity import at_most
from lora_contract.order import Order
from lora_operator.core.manifests import pod_storage
from lora_operator.core.manifests.pod_placement import placement
from lora_operator.settings import Settings

_USER = 65532
_TERMINATION_LOG = "/dev/termination-log"
#: Seconds between SIGTERM and SIGKILL: train saves and uploads a checkpoint in them.
_GRACE_SECONDS = {names.STAGE_PREPARE: 10, names.STAGE_TRAIN: 120, names.STAGE_CHECK: 10}
#: Where the platform's certificate authorities are, and by which variables botocore, requests and OpenSSL find them.
_CA_PATH, _CA_FILE = "/etc/ssl/platform", "ca.crt"
_CA_VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")

Json = dict[str, Any]


def pod_template(
    order: Order, settings: Settings, *, job: str, labels: Mapping[str, str], avoid_nodes: Sequence[str] = ()
) -> Json:
    """Build `spec.template` of a stage's Job, whose name is `job`."""
    spec = order.spec
    annotations = dict(settings.pod_annotations)
    if settings.progress_url and settings.progress_ca:
        annotations[names.ANNOTATION_PROGRESS_CA] = settings.progress_ca
    pod: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS[order.stage],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(order, settings, job)],
        "volumes": _volumes(order, settings),
    }
    if spec.storage.service_account_name:
        pod["serviceAccountName"] = spec.storage.service_account_name
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.image_pull_secrets]
    if order.stage == names.STAGE_TRAIN and spec.compute.nodes > 1:
        pod["subdomain"] = names.service_name(job)
    pod |= placement(order, settings, avoid_nodes)
    return {"metadata": {"labels": {**settings.pod_labels, **labels}, "annotations": annotations}, "spec": pod}


def cache_claim(spec: LoRAFineTuneSpec, settings: Settings) -> str:
    """Name the claim of the model cache; empty: there is none."""
    return spec.model.cache.claim_name if spec.model.cache else settings.default_cache_claim


def _container(order: Order, settings: Settings, job: str) -> Json:
    prepare = order.stage != names.STAGE_TRAIN
    return {
        "name": names.CONTAINER,
        "image": (prepare and settings.prepare_image) or settings.trainer_image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": ["prepare", "--check"] if order.stage == names.STAGE_CHECK else [order.stage],
        "env": _environment(order, settings, job),
        "resources": _resources(order, settings),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": _TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": _mounts(order, settings),
    }


def _environment(order: Order, settings: Settings, job: str) -> list[Json]:
    values = {variable.name: variable.value for variable in settings.extra_env}
    if settings.ca_bundle:
        values |= dict.fromkeys(_CA_VARIABLES, f"{_CA_PATH}/{_CA_FILE}")
    values |= {
        names.ENV_ORDER: json.dumps(order.dump(), sort_keys=True, separators=(",", ":")),
        names.ENV_TERMINATION_LOG: _TERMINATION_LOG,
        "HOME": names.SCRATCH_PATH,
        "TMPDIR": names.SCRATCH_PATH,
    }
    if settings.allow_cpu and order.stage == names.STAGE_TRAIN:
        values[names.ENV_ALLOW_CPU] = "1"
    if order.stage == names.STAGE_TRAIN and order.spec.compute.nodes > 1:
        values[names.ENV_GROUP_ADDRESS] = names.group_address(job)
    if order.spec.storage.secret_name or not settings.allow_node_identity:
        # boto3 then never asks the cloud's metadata service for the credentials of the node. Those of a ServiceAccount
        # (IRSA, EKS Pod Identity) come another way.
        values["AWS_EC2_METADATA_DISABLED"] = "true"
    if endpoint := order.spec.storage.endpoint or settings.default_s3_endpoint:
        values[names.ENV_S3_ENDPOINT] = endpoint
    if settings.progress_url:
        path = names.progress_path(order.namespace, order.name)
        values[names.ENV_PROGRESS_URL] = settings.progress_url.rstrip("/") + path
        values[names.ENV_PROGRESS_TOKEN] = names.PROGRESS_TOKEN_FILE
        if settings.progress_ca:
            values[names.ENV_PROGRESS_CA] = names.PROGRESS_CA_FILE
    plain = [{"name": name, "value": value} for name, value in values.items()]
    return plain + _secret_environment(order.spec)


def _secret_environment(spec: LoRAFineTuneSpec) -> list[Json]:
    """List the variables that the kubelet fills from the tenant's Secrets; the operator never sees their values."""
    variables = []
    if secret := spec.storage.secret_name:
        for key in names.STORAGE_SECRET_KEYS:
            optional = key not in names.STORAGE_SECRET_REQUIRED_KEYS
            variables.append(_from_secret(key, secret, key, optional=optional))
    if spec.model.token_secret_name:
        variables.append(_from_secret(names.HUB_TOKEN_KEY, spec.model.token_secret_name, names.HUB_TOKEN_KEY))
    return variables


def _from_secret(variable: str, secret: str, key: str, *, optional: bool = False) -> Json:
    reference: Json = {"name": secret, "key": key}
    if optional:
        reference["optional"] = True
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}


def _resources(order: Order, settings: Settings) -> Json:
    compute, disk = order.spec.compute, pod_storage.ephemeral_storage(order, settings)
    if order.stage != names.STAGE_TRAIN:
        cpu, memory, gpus = settings.prepare_cpu, settings.prepare_memory, {}
    else:
        cpu, memory = str(compute.cpu), str(compute.memory)
        gpus = {gpu_resource(order.spec, settings): str(compute.gpus)} if compute.gpus else {}
    limit = _cpu_limit(order, settings)
    return {
        "requests": {"cpu": cpu, "memory": memory, **gpus, **disk.requests},
        "limits": {**({"cpu": limit} if limit else {}), "memory": memory, **gpus, **disk.limits},
    }


def _cpu_limit(order: Order, settings: Settings) -> str:
    """Choose the CPU limit of a pod; empty: none. The API server refuses one below the request."""
    if order.stage != names.STAGE_TRAIN:
        return settings.prepare_cpu_limit
    request, limit = str(order.spec.compute.cpu), order.spec.compute.cpu_limit
    if limit is not None:
        return str(limit)
    return settings.train_cpu_limit if at_most(request, settings.train_cpu_limit) else request


def gpu_resource(spec: LoRAFineTuneSpec, settings: Settings) -> str:
    """Name the resource of the run's GPUs in this cluster."""
    named = spec.compute.resource_name
    return settings.gpu_resource_name if named == names.GPU_RESOURCE else named


def _volumes(order: Order, settings: Settings) -> list[Json]:
    volumes: list[Json] = [{"name": "scratch", "emptyDir": pod_storage.scratch(order, settings)}]
    if order.stage == names.STAGE_TRAIN:
        volumes.append({"name": "shm", "emptyDir": pod_storage.shared_memory(order.spec, settings)})
    if claim := cache_claim(order.spec, settings):
        volumes.append({"name": "cache", "persistentVolumeClaim": {"claimName": claim}})
    for number, claim in enumerate(_data_claims(order)):
        source = {"claimName": claim, "readOnly": True}
        volumes.append({"name": f"data-{number}", "persistentVolumeClaim": source})
    if bundle := settings.ca_bundle:
        items = {"items": [{"key": bundle.key, "path": _CA_FILE}]}
        if bundle.config_map:
            volumes.append({"name": names.CA_BUNDLE_VOLUME, "configMap": {"name": bundle.config_map, **items}})
        else:
            volumes.append({"name": names.CA_BUNDLE_VOLUME, "secret": {"secretName": bundle.secret, **items}})
    if settings.progress_url:
        volumes.append({"name": "progress", "projected": {"sources": _progress_sources(settings)}})
    return volumes


def _data_claims(order: Order) -> tuple[str, ...]:
    """Return the claims that the stage reads data from: train reads what prepare left in S3."""
    return () if order.stage == names.STAGE_TRAIN else order.spec.dataset.claims


def _progress_sources(settings: Settings) -> list[Json]:
    token = {"audience": names.PROGRESS_AUDIENCE, "expirationSeconds": 3600, "path": "token"}
    sources: list[Json] = [{"serviceAccountToken": token}]
    if settings.progress_ca:
        field = {"fieldPath": f"metadata.annotations['{names.ANNOTATION_PROGRESS_CA}']"}
        sources.append({"downwardAPI": {"items": [{"path": "ca.crt", "fieldRef": field}]}})
    return sources


def _mounts(order: Order, settings: Settings) -> list[Json]:
    mounts: list[Json] = [{"name": "scratch", "mountPath": names.SCRATCH_PATH}]
    if order.stage == names.STAGE_TRAIN:
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108 - shared memory between processes
    if cache_claim(order.spec, settings):
        mounts.append({"name": "cache", "mountPath": names.CACHE_PATH})
    for number, claim in enumerate(_data_claims(order)):
        mounts.append({"name": f"data-{number}", "mountPath": f"{names.CLAIMS_PATH}/{claim}", "readOnly": True})
    if settings.ca_bundle:
        mounts.append({"name": names.CA_BUNDLE_VOLUME, "mountPath": _CA_PATH, "readOnly": True})
    if settings.progress_url:
        mounts.append({"name": "progress", "mountPath": names.PROGRESS_PATH, "readOnly": True})
    return mounts
