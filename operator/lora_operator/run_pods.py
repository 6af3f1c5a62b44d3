"""What the platform says of the pods of every run: spec, variables, labels and authorities."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from lora_contract import names

#: Variables that the operator gives to pods, beside all that begin with its prefixes.
_OWN_VARIABLES = {
    *names.STORAGE_SECRET_KEYS,
    names.HUB_TOKEN_KEY,
    names.ENV_S3_ENDPOINT,
    names.ENV_POD_INDEX,
    "AWS_EC2_METADATA_DISABLED",
    "HOME",
    "TMPDIR",
}
#: Settings of AWS' clients that neither give an identity nor lead to another storage.
_HARMLESS_AWS = {
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_REGION",
    "AWS_MAX_ATTEMPTS",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_RESPONSE_CHECKSUM_VALIDATION",
    "AWS_RETRY_MODE",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
}
_OTHER_TOKENS = {"HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN", "HF_TOKEN_PATH", "HUGGINGFACE_TOKEN"}
_OWN_PREFIXES = ("LORA_", "KUBEFLOW_TRAINER_")
_OWN_LABELS = (f"{names.GROUP}/", "kueue.x-k8s.io/", "batch.kubernetes.io/")


class PodSpec(BaseModel):
    """Fields of a pod's spec, with the names and forms that Kubernetes gives them; empty ones are left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    runtime_class_name: str = ""
    priority_class_name: str = ""
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    affinity: dict[str, Any] = {}
    topology_spread_constraints: tuple[dict[str, Any], ...] = ()

    def dump(self) -> dict[str, Any]:
        """Return the fields that are set, as a manifest has them."""
        return {name: value for name, value in self.model_dump(mode="json", by_alias=True).items() if value}


class Variable(BaseModel):
    """An environment variable of a container."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    value: str


class CaBundle(BaseModel):
    """A file of certificate authorities in a ConfigMap or Secret of the run's namespace; neither: none."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    config_map: str = ""
    secret: str = ""
    key: str = "ca.crt"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.config_map and self.secret:
            raise ValueError("set configMap or secret, not both")
        return self

    def __bool__(self) -> bool:
        return bool(self.config_map or self.secret)


def _not_ours(variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
    for variable in variables:
        if variable.name in _OWN_VARIABLES or variable.name.startswith(_OWN_PREFIXES):
            raise ValueError(f"{variable.name} is set by the operator: leave it out")
        shared = variable.name.startswith("AWS_") and variable.name not in _HARMLESS_AWS
        if shared or variable.name in _OTHER_TOKENS:
            raise ValueError(
                f"{variable.name} would give the runs of all tenants one identity or storage: name a Secret or a"
                " ServiceAccount in spec.storage of each run, and a Secret in spec.model.tokenSecretName"
            )
    return variables


def _not_read(labels: dict[str, str]) -> dict[str, str]:
    for label in labels:
        if label == names.LABEL_MANAGED_BY or label.startswith(_OWN_LABELS):
            raise ValueError(f"{label} is a label of the operator or of Kueue: leave it out")
    return labels


#: Variables that are none of the operator's own.
Variables = Annotated[tuple[Variable, ...], AfterValidator(_not_ours)]
#: Labels that neither the operator nor a queue reads.
PodLabels = Annotated[dict[str, str], AfterValidator(_not_read)]
