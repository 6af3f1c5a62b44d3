"""The user's spec: the source of the CRD and of the order to the trainer."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from lora_contract.base import Rule, SpecModel
from lora_contract.finetune.chat import ChatSpec
from lora_contract.finetune.dataset import DatasetSpec
from lora_contract.finetune.fields import Matches, documented
from lora_contract.finetune.method import RULES_OF_METHOD, MethodSpec
from lora_contract.finetune.model import ModelSpec, QuantizationSpec
from lora_contract.finetune.parent import RULES_OF_PARENT, ParentSpec
from lora_contract.finetune.platform import ComputeSpec, LimitsSpec, OutputSpec, SchedulingSpec, StorageSpec
from lora_contract.finetune.training import EvaluationSpec, LoraSpec, TrainingSpec

__all__ = [
    "ChatSpec",
    "ComputeSpec",
    "DatasetSpec",
    "EvaluationSpec",
    "LimitsSpec",
    "LoRAFineTuneSpec",
    "LoraSpec",
    "MethodSpec",
    "ModelSpec",
    "OutputSpec",
    "ParentSpec",
    "QuantizationSpec",
    "SchedulingSpec",
    "StorageSpec",
    "TrainingSpec",
]


RunToken = Annotated[
    str,
    StringConstraints(max_length=64),
    Matches(r"^[A-Za-z0-9._-]*$", "must be letters, digits, '.', '_' and '-' only, such as 2 or 2026-01-31"),
]


def _apart(spec: LoRAFineTuneSpec) -> bool:
    output = spec.output.uri.rstrip("/") + "/"
    data = [source.uri.rstrip("/") + "/" for source in spec.dataset.data_sources]
    return not any(address.startswith(output) or output.startswith(address) for address in data)


def _cel_apart(address: str) -> str:
    """Write CEL for: neither the address, an expression, nor the output contains the other."""
    output = "self.output.uri"
    data, out = (f"({each} + ({each}.endsWith('/') ? '' : '/'))" for each in (address, output))
    return f"!{data}.startsWith({out[1:-1]}) && !{out}.startsWith({data[1:-1]})"


#: Parts that decide what the adapter is; they may change only under updatePolicy Rerun.
IMMUTABLE_PARTS = (
    "model",
    "from",
    "dataset",
    "method",
    "chat",
    "quantization",
    "lora",
    "training",
    "evaluation",
    "output",
)
#: Those of them for which the API server writes no default.
_OPTIONAL_PARTS = ("from", "method")


def _cel_same(part: str) -> str:
    """Write CEL for: the part is what it was, or absent as before."""
    same = f"self.{part} == oldSelf.{part}"
    if part not in _OPTIONAL_PARTS:
        return same
    return f"has(self.{part}) == has(oldSelf.{part}) && (!has(self.{part}) || {same})"


class LoRAFineTuneSpec(SpecModel):
    """One fine-tuning run, from data to a published adapter."""

    suspend: bool = documented(False, "Stop after a checkpoint and give the GPU back; set to false to go on.", False)
    update_policy: Literal["Immutable", "Rerun"] = documented(
        "Immutable", "Immutable: the training spec cannot change. Rerun: a change starts a new run.", "Immutable"
    )
    run_token: RunToken = documented("", "Change it to run again on purpose with the same spec and data.", "2")
    check_token: RunToken = documented(
        "", "Change it to compare the data of a published adapter with what it was trained on.", "2026-01-31"
    )
    model: ModelSpec = documented(..., "The base model.", {"id": "microsoft/Phi-4-mini-instruct"})
    parent: ParentSpec | None = documented(
        None,
        "The adapter to go on from: its weights are trained on, with a fresh optimiser; absent: a fresh adapter.",
        {"run": "triage-base"},
        alias="from",
    )
    dataset: DatasetSpec = documented(..., "The training data.", {"uri": "s3://datasets/triage.jsonl"})
    method: MethodSpec | None = documented(
        None,
        "Preference tuning: what is learned from which answers were preferred; absent: the answers themselves.",
        {"dpo": {"beta": 0.1}},
    )
    chat: ChatSpec = documented(
        ChatSpec(), "How conversations become text.", {"templateArgs": {"enable_thinking": "false"}}
    )
    quantization: QuantizationSpec = documented(QuantizationSpec(), "How the frozen weights are held.", {"type": "nf4"})
    lora: LoraSpec = documented(LoraSpec(), "The adapter.", {"r": 16, "alpha": 32})
    training: TrainingSpec = documented(..., "The optimisation.", {"maxSteps": 100})
    evaluation: EvaluationSpec = documented(EvaluationSpec(), "The final comparison.", {"samples": 5})
    output: OutputSpec = documented(..., "Where the adapter goes.", {"uri": "s3://adapters/team-a/"})
    storage: StorageSpec = documented(StorageSpec(), "How pods reach S3.", {"secretName": "s3-credentials"})
    compute: ComputeSpec = documented(ComputeSpec(), "What the train pod asks for.", {"gpus": 1})
    scheduling: SchedulingSpec = documented(SchedulingSpec(), "How the train Job waits.", {"queueName": "team-a"})
    limits: LimitsSpec = documented(LimitsSpec(), "What the run may use before it is stopped.", {"gpuHours": 8})
    retries: int = documented(
        3, "Times a failed train pod is started again; user errors are never retried.", 3, ge=0, le=20
    )
    ttl_seconds_after_finished: int = documented(
        86400,
        "Seconds after which finished Jobs and pods go away; the resource itself stays.",
        86400,
        ge=0,
        le=31_536_000,
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"!has(self.dataset.uri) || ({_cel_apart('self.dataset.uri')})",
            message="output.uri and dataset.uri must not contain each other; choose another output prefix",
            holds=lambda s: s.dataset.uri is None or _apart(s),
        ),
        Rule(
            cel=f"!has(self.dataset.sources) || self.dataset.sources.all(s, {_cel_apart('s.uri')})",
            message="output.uri and the addresses of dataset.sources must not contain each other;"
            " choose another output prefix",
            holds=lambda s: s.dataset.sources is None or _apart(s),
        ),
        Rule(
            cel="self.compute.gpus > 0 || self.quantization.type != 'int8'",
            message="quantization.type int8 needs a GPU; use nf4 or none with compute.gpus: 0",
            holds=lambda s: s.compute.gpus > 0 or s.quantization.type != "int8",
        ),
        Rule(
            cel="self.training.effectiveBatchSize % "
            "((self.compute.gpus > 1 ? self.compute.gpus : 1) * "
            "(self.compute.nodes > 1 ? self.compute.nodes : 1)) == 0",
            message="training.effectiveBatchSize must be a multiple of compute.gpus times compute.nodes",
            holds=lambda s: s.training.effective_batch_size % (max(1, s.compute.gpus) * max(1, s.compute.nodes)) == 0,
        ),
        Rule(
            cel="!has(self.training.earlyStopping) || has(self.dataset.validationUri) || "
            "self.dataset.split.validation > 0.0",
            message="training.earlyStopping needs rows to evaluate on;"
            " set dataset.validationUri, or dataset.split.validation above 0",
            holds=lambda s: (
                s.training.early_stopping is None
                or s.dataset.validation_uri is not None
                or s.dataset.split.validation > 0
            ),
        ),
        Rule(
            cel="has(self.dataset.testUri) || self.dataset.split.test > 0.0 || !("
            "has(self.evaluation.gate.maxLossRatio) || has(self.evaluation.gate.minExactMatch) || "
            "has(self.evaluation.gate.minJsonFields) || has(self.evaluation.gate.minToolCalls) || "
            "has(self.evaluation.gate.minPreferenceAccuracy) || "
            "has(self.evaluation.gate.maxLossRatioToParent))",
            message="evaluation.gate needs rows to compare on; set dataset.testUri, or dataset.split.test above 0",
            holds=lambda s: (
                s.dataset.test_uri is not None or s.dataset.split.test > 0 or not s.evaluation.gate.needs_test_rows
            ),
        ),
        Rule(
            cel="!has(self.evaluation.gate.forgettingSource) || (has(self.dataset.sources) && "
            "self.dataset.sources.exists(s, s.name == self.evaluation.gate.forgettingSource))",
            message="evaluation.gate.forgettingSource must be the name of a source of dataset.sources",
            holds=lambda s: (
                s.evaluation.gate.forgetting_source is None
                or s.evaluation.gate.forgetting_source in [source.name for source in s.dataset.sources or ()]
            ),
        ),
        *RULES_OF_METHOD,
        *RULES_OF_PARENT,
    )

    #: Rules between the old and the new spec, known to the API server alone: CEL and message.
    transition_rules: ClassVar[tuple[tuple[str, str], ...]] = tuple(
        (
            f"self.updatePolicy == 'Rerun' || {_cel_same(part)}",
            f"spec.{part} is immutable; create a new LoRAFineTune, or set updatePolicy: Rerun",
        )
        for part in IMMUTABLE_PARTS
    )
