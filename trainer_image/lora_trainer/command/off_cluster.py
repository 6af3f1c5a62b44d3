"""What a spec says to a cluster, where its run is one of this machine: the endpoint is taken, the rest is told."""

from __future__ import annotations

from collections.abc import MutableMapping

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.names import ENV_S3_ENDPOINT
from lora_trainer.store.settings import ENDPOINT_VARIABLES

#: Parts and fields that only an operator or a pod heeds.
OF_A_CLUSTER = (
    "suspend",
    "updatePolicy",
    "checkToken",
    "model.tokenSecretName",
    "model.cache",
    "storage.secretName",
    "storage.serviceAccountName",
    "compute.resourceName",
    "compute.cpu",
    "compute.cpuLimit",
    "compute.memory",
    "compute.nodeSelector",
    "compute.tolerations",
    "scheduling",
    "limits",
    "retries",
    "ttlSecondsAfterFinished",
)
_INSTEAD = {
    "model.tokenSecretName": "HF_TOKEN is read instead",
    "storage.secretName": "the usual AWS variables are read instead",
    "storage.serviceAccountName": "the usual AWS variables are read instead",
}


def take_endpoint(spec: LoRAFineTuneSpec, environment: MutableMapping[str, str]) -> str | None:
    """Let the S3 client use the endpoint of the spec, as a pod would; a note where the environment names another."""
    endpoint = spec.storage.endpoint
    if endpoint is None:
        return None
    named = next((name for name in ENDPOINT_VARIABLES if environment.get(name)), None)
    if named is None:
        environment[ENV_S3_ENDPOINT] = endpoint
    elif environment[named] != endpoint:
        return f"{named} names another S3 endpoint than spec.storage.endpoint, and is used"
    return None


def of_no_effect(spec: LoRAFineTuneSpec) -> str | None:
    """Name the fields that were written and do nothing here; None where there are none."""
    written = spec.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
    found = []
    for path in OF_A_CLUSTER:
        part, _, field = path.partition(".")
        if part in written and (not field or field in written[part]):
            found.append(f"{path} ({_INSTEAD[path]})" if path in _INSTEAD else path)
    return f"of no effect without a cluster: {', '.join(found)}" if found else None
