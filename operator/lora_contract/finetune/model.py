"""spec.model and spec.quantization: what is adapted, and how its weights are held."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from lora_contract.base import Rule, SpecModel
from lora_contract.finetune.fields import Matches, ObjectName, StorageUri, cel_string, documented

COMMIT = r"^[0-9a-f]{40}$"
ModelId = Annotated[
    str,
    StringConstraints(max_length=200),
    Matches(
        r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?$",
        "must be a model name such as microsoft/Phi-4-mini-instruct; for files in S3 set model.source as well",
    ),
]
Revision = Annotated[
    str,
    StringConstraints(max_length=250),
    Matches(
        r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$",
        "must be a commit of 40 hexadecimal digits; or a branch or tag, with allowFloatingRevision: true",
    ),
]

_IS_COMMIT = f"self.revision.matches({cel_string(COMMIT)})"


def _is_commit(revision: str | None) -> bool:
    return revision is None or re.fullmatch(COMMIT, revision) is not None


class ModelCacheSpec(SpecModel):
    """A volume of the namespace that keeps base models between runs."""

    claim_name: ObjectName = documented(
        ..., "PersistentVolumeClaim of the same namespace that holds downloaded models.", "model-cache"
    )


class ModelSpec(SpecModel):
    """The base model."""

    id: ModelId = documented(
        ...,
        "Name that the adapter carries as its base model: the name under which the base is served.",
        "microsoft/Phi-4-mini-instruct",
    )
    revision: Revision | None = documented(
        None,
        "Commit of the model repository, 40 hexadecimal digits. Needed for models from the Hub, unless"
        " allowFloatingRevision is set: then it may name a branch or tag. With a source it may state the commit of"
        " the files there, which is believed; without it the digest of their content stands for it.",
        "5a149550068a1eb93398160d8953f5f56c3603e9",
    )
    allow_floating_revision: bool = documented(
        False,
        "Train on the commit that the branch or tag in revision, or else the default branch, has when the run starts;"
        " it is written to status.plan.modelCommit.",
        True,
    )
    source: StorageUri | None = documented(
        None,
        "S3 prefix with the model's files (config.json, *.safetensors, tokenizer); without it the Hub is used.",
        "s3://models/phi-4-mini/",
    )
    token_secret_name: ObjectName | None = documented(
        None, "Secret with the key HF_TOKEN, for gated models on the Hub.", "hf-token"
    )
    cache: ModelCacheSpec | None = documented(
        None, "Volume shared by the runs of the namespace, so a model is downloaded once.", {"claimName": "model-cache"}
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.source) || has(self.revision) || self.allowFloatingRevision",
            message="model.revision must be a 40-character commit for a model from the Hub;"
            " or set model.source, or model.allowFloatingRevision: true",
            holds=lambda m: bool(m.source or m.revision or m.allow_floating_revision),
        ),
        Rule(
            cel=f"has(self.source) || !has(self.revision) || {_IS_COMMIT} || self.allowFloatingRevision",
            message="model.revision is a branch or tag, which may move; write the commit of 40 hexadecimal digits,"
            " or set model.allowFloatingRevision: true",
            holds=lambda m: bool(m.source or _is_commit(m.revision) or m.allow_floating_revision),
        ),
        Rule(
            cel=f"!has(self.source) || !has(self.revision) || {_IS_COMMIT}",
            message="model.revision beside model.source must be a commit of 40 hexadecimal digits; or leave it out:"
            " the content of the files is the revision",
            holds=lambda m: m.source is None or _is_commit(m.revision),
        ),
    )


class QuantizationSpec(SpecModel):
    """How the frozen base weights are held while training."""

    type: Literal["nf4", "fp4", "int8", "none"] = documented(
        "nf4", "bitsandbytes type of the frozen weights: nf4 or fp4 (4 bit), int8 (8 bit), none (16 bit).", "nf4"
    )
    double_quant: bool = documented(
        True, "Quantise the quantisation constants too (4-bit types only): about 0.4 bit a weight less.", True
    )
