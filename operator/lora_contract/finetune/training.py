"""spec.lora, spec.training and spec.evaluation: the recipe."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from lora_contract.base import Rule, SpecModel
from lora_contract.finetune.dataset import SourceName
from lora_contract.finetune.fields import Matches, documented

ModuleName = Annotated[
    str,
    StringConstraints(max_length=128),
    Matches(r"^[A-Za-z_][A-Za-z0-9_.-]*$", "must be the name of a module such as q_proj, or all-linear"),
]
ALL_LINEAR = "all-linear"
#: Values that vLLM takes for --max-lora-rank (MaxLoRARanks in vllm/config/lora.py).
_SERVING_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


class LoraSpec(SpecModel):
    """The adapter."""

    r: int = documented(
        16, "Rank of the adapter matrices, 1 to 512. Servers cap it: see requiredMaxLoraRank.", 16, ge=1, le=512
    )
    alpha: int = documented(32, "Scaling numerator: updates are scaled by alpha / r.", 32, ge=1, le=4096)
    dropout: float = documented(0.05, "Dropout before the adapter, 0 to 0.9.", 0.05, ge=0, le=0.9)
    target_modules: list[ModuleName] = documented(
        [ALL_LINEAR],
        "Modules that get an adapter: names such as q_proj, or all-linear alone for every linear layer but the head.",
        ["q_proj", "v_proj"],
        min_length=1,
        max_length=64,
    )
    use_rslora: bool = documented(False, "Scale by alpha / sqrt(r) instead of alpha / r.", False)

    @property
    def serving_rank(self) -> int:
        """The least rank that a server can be told to allow so that it takes the adapter."""
        return next(rank for rank in _SERVING_RANKS if rank >= self.r)

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.targetModules.all(m, self.targetModules.exists_one(n, n == m))",
            message="lora.targetModules must not name a module twice",
            holds=lambda s: len(set(s.target_modules)) == len(s.target_modules),
        ),
        Rule(
            cel="!self.targetModules.exists(m, m == 'all-linear') || size(self.targetModules) == 1",
            message="lora.targetModules: all-linear stands alone; remove the other names",
            holds=lambda s: ALL_LINEAR not in s.target_modules or len(s.target_modules) == 1,
        ),
    )


class EarlyStoppingSpec(SpecModel):
    """When to stop because evaluation no longer improves."""

    patience: int = documented(3, "Evaluations without improvement before the run stops.", 3, ge=1, le=1000)
    min_delta: float = documented(0.0, "Smallest decrease of the evaluation loss that counts.", 0.001, ge=0, le=10)


class TrainingSpec(SpecModel):
    """The optimisation."""

    max_steps: int | None = documented(
        None, "Optimiser steps. Exactly one of maxSteps and epochs.", 100, ge=1, le=10_000_000
    )
    epochs: float | None = documented(
        None, "Passes over the training rows. Exactly one of maxSteps and epochs.", 3, gt=0, le=1000
    )
    max_length: int = documented(512, "Longest row in tokens; longer rows are cut and counted.", 512, ge=8, le=131072)
    effective_batch_size: int = documented(
        32, "Rows a step over all GPUs; micro batch and accumulation follow from it.", 32, ge=1, le=65536
    )
    micro_batch_size: int | None = documented(
        None, "Rows a forward pass on one GPU to start with; halved on CUDA out-of-memory at equal effective batch.",
        4, ge=1, le=4096,
    )  # fmt: skip
    learning_rate: float = documented(2e-4, "Peak learning rate.", 0.0002, gt=0, le=1)
    schedule: Literal["cosine", "linear", "constant"] = documented("cosine", "Learning rate after warm-up.", "cosine")
    warmup_ratio: float = documented(0.03, "Share of the steps that warm up, 0 to 0.5.", 0.03, ge=0, le=0.5)
    weight_decay: float = documented(0.01, "AdamW weight decay.", 0.01, ge=0, le=1)
    max_grad_norm: float = documented(
        1.0, "Gradients are clipped to this norm; 0 turns clipping off.", 1.0, ge=0, le=1000
    )
    train_on: Literal["assistant", "last", "all"] = documented(
        "assistant",
        "Tokens that count for the loss: those of every answer with its stop token, of the last answer, or all.",
        "assistant",
    )
    eval_steps: int = documented(
        10,
        "Steps between evaluations. Each takes at most a fifth as many rows as were trained on since the last, or 8.",
        10, ge=1, le=1_000_000,
    )  # fmt: skip
    save_steps: int = documented(
        20, "Steps between checkpoints in S3: the most that a killed pod can lose.", 20, ge=1, le=1_000_000
    )
    early_stopping: EarlyStoppingSpec | None = documented(
        None, "Stop when evaluation no longer improves; absent: run all steps.", {"patience": 3}
    )
    seed: int = documented(42, "Seed of initialisation, order and dropout.", 42, ge=0, le=2**31 - 1)

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.maxSteps) != has(self.epochs)",
            message="set exactly one of training.maxSteps and training.epochs",
            holds=lambda t: (t.max_steps is None) != (t.epochs is None),
        ),
        Rule(
            cel="!has(self.microBatchSize) || self.effectiveBatchSize % self.microBatchSize == 0",
            message="training.effectiveBatchSize must be a multiple of training.microBatchSize",
            holds=lambda t: t.micro_batch_size is None or t.effective_batch_size % t.micro_batch_size == 0,
        ),
    )


class GateSpec(SpecModel):
    """What the adapter must reach; below it the run ends as QualityGateFailed, the adapter published but marked."""

    max_loss_ratio: float | None = documented(
        None, "Highest allowed test loss of the adapter divided by that of the base.", 0.98, gt=0, le=10
    )
    max_loss_ratio_to_parent: float | None = documented(
        None, "Highest allowed test loss of the adapter divided by that of the adapter in from.", 1.0, gt=0, le=10
    )
    max_forgetting_ratio: float | None = documented(
        None, "Highest allowed loss of the adapter on general text divided by that of the base.", 1.2, gt=0, le=100
    )
    forgetting_source: SourceName | None = documented(
        None,
        "Source of dataset.sources whose test rows stand for the general text in maxForgettingRatio.",
        "general",
    )
    min_exact_match: float | None = documented(
        None, "Lowest allowed share of generated answers that equal the reference, 0 to 1.", 0.5, ge=0, le=1
    )
    min_json_fields: float | None = documented(
        None, "Lowest allowed share of right fields in generated JSON answers, 0 to 1.", 0.9, ge=0, le=1
    )
    min_tool_calls: float | None = documented(
        None,
        "Lowest allowed share of generated answers with all the tool calls of the reference and no other, 0 to 1."
        " Only answers to rows that offer tools count.",
        0.9, ge=0, le=1,
    )  # fmt: skip
    min_preference_accuracy: float | None = documented(
        None,
        "Lowest allowed share of test rows of which the adapter prefers what the row prefers, 0 to 1; with method.",
        0.9, ge=0, le=1,
    )  # fmt: skip

    @property
    def needs_answers(self) -> bool:
        """Whether a limit is about answers that are generated for test rows."""
        limits = (self.min_exact_match, self.min_json_fields, self.min_tool_calls)
        return any(limit is not None for limit in limits)

    @property
    def needs_test_rows(self) -> bool:
        """Whether a limit is about test rows."""
        limits = (self.max_loss_ratio, self.max_loss_ratio_to_parent, self.min_preference_accuracy)
        return any(limit is not None for limit in limits) or self.needs_answers

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.forgettingSource) || has(self.maxForgettingRatio)",
            message="evaluation.gate.forgettingSource needs evaluation.gate.maxForgettingRatio, the limit for it",
            holds=lambda g: g.forgetting_source is None or g.max_forgetting_ratio is not None,
        ),
    )


class EvaluationSpec(SpecModel):
    """The final comparison on the test rows."""

    compare_with_base: bool = documented(True, "Measure the base model on the same rows.", True)
    samples: int = documented(5, "Test rows answered by base and adapter, shown in the report.", 5, ge=0, le=100)
    max_new_tokens: int = documented(128, "Longest generated answer in tokens.", 128, ge=1, le=4096)
    gate: GateSpec = documented(GateSpec(), "Limits the adapter must reach.", {"maxLossRatio": 0.98})

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.compareWithBase || !has(self.gate.maxForgettingRatio)",
            message="evaluation.gate.maxForgettingRatio needs evaluation.compareWithBase: true; or remove the gate",
            holds=lambda e: e.compare_with_base or e.gate.max_forgetting_ratio is None,
        ),
        Rule(
            cel="self.compareWithBase || !has(self.gate.maxLossRatio)",
            message="evaluation.gate.maxLossRatio needs evaluation.compareWithBase: true; or remove the gate",
            holds=lambda e: e.compare_with_base or e.gate.max_loss_ratio is None,
        ),
        Rule(
            cel="self.samples > 0 || !(has(self.gate.minExactMatch) || has(self.gate.minJsonFields) ||"
            " has(self.gate.minToolCalls))",
            message="evaluation.gate.minExactMatch, minJsonFields and minToolCalls are measured on evaluation.samples"
            " answers; set samples above 0, or remove them",
            holds=lambda e: e.samples > 0 or not e.gate.needs_answers,
        ),
    )
