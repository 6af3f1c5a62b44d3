"""What report and model card are made from: plain values, no model, no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.lineage import Ancestor
from lora_contract.serving import ServingStatus
from lora_pages.points import Bar, Point


@dataclass(frozen=True)
class Curves:
    """What was measured along the way, each in the order of its steps."""

    train_loss: tuple[Point, ...] = ()
    eval_loss: tuple[Point, ...] = ()
    learning_rate: tuple[Point, ...] = ()
    best_step: int | None = None


@dataclass(frozen=True)
class Sample:
    """One test row answered by the base model (absent: not asked) and by the adapter."""

    prompt: str
    reference: str
    base: str | None
    adapter: str


@dataclass(frozen=True)
class TextPart:
    """Decoded tokens of a row that all count for the loss, or all do not."""

    text: str
    counts: bool
    weight: float | None = None
    """How much it counts, between 0 and 1; None: wholly, or not at all."""


@dataclass(frozen=True)
class DataSection:
    """The data as `prepare` found it, beyond the counts that `ReportInput` carries."""

    token_histogram: tuple[Bar, ...] = ()
    first_example: tuple[TextPart, ...] = ()
    """The first training row, cut where a part that counts for the loss begins or ends."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """More lines for the table, by label: files, format, columns."""


@dataclass(frozen=True)
class Attempt:
    """One process that trained. Times are RFC 3339, UTC."""

    claim: int
    start_time: str
    end_time: str | None
    from_step: int
    last_step: int
    outcome: str


@dataclass(frozen=True)
class Comparison:
    """Base, parent and adapter on the same test rows; None where it was not measured."""

    name: str
    base: float | None
    adapter: float | None
    lower_is_better: bool | None = True
    """None: neither is."""
    parent: float | None = None
    """Of the adapter that the run goes on from."""


@dataclass(frozen=True)
class SourceFigures:
    """One source of the data. Losses are nats per target token on its held-out rows; None: it has none."""

    name: str
    rows: int
    """Training rows, each counted once."""
    tokens: int
    epochs: float
    """Times that a row of it is trained on during the run."""
    base_validation_loss: float | None = None
    validation_loss: float | None = None
    base_test_loss: float | None = None
    test_loss: float | None = None


@dataclass(frozen=True)
class ReportInput:
    """Everything that the report and the model card show."""

    name: str
    run_id: str
    spec_hash: str
    spec: LoRAFineTuneSpec
    model_commit: str
    dataset_digest: str
    created_at: str
    rows: Mapping[str, int]
    """Rows of each split that has any: train, validation, test."""
    tokens: int
    target_tokens: int
    total_steps: int
    duration_seconds: float
    """Of all attempts together."""
    tokens_per_second: float
    curves: Curves = Curves()
    loss_unit: str = "nats per target token"
    comparisons: tuple[Comparison, ...] = ()
    samples: tuple[Sample, ...] = ()
    template_date: str | None = None
    """Date that the chat template wrote into every row; None: it wrote none."""
    longest_row: int | None = None
    """Tokens of the longest row before it was cut; None: prepared by a version that did not say."""
    data: DataSection = field(default_factory=DataSection)
    sources: tuple[SourceFigures, ...] = ()
    """By name; empty where all data are at one address."""
    attempts: tuple[Attempt, ...] = ()
    gate_failed: str | None = None
    """The limit that the adapter missed, in words."""
    warnings: tuple[str, ...] = ()
    serving: tuple[ServingStatus, ...] = ()
    """Which servers load the adapter as it is, and how."""
    hardware: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    """Version of each library by name."""
    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 of each file of the adapter by name, as far as known when the report is made."""
    ancestors: tuple[Ancestor, ...] = ()
    """The adapters that this one descends from, the parent first."""
    target_modules: tuple[str, ...] = ()
    """Names of the modules that carry the adapter, as in adapter_config.json."""
    trainable_parameters: int | None = None
    peak_memory_bytes: int | None = None
    stop_tokens: tuple[str, ...] = ()
    """Tokens that end the answers of the training rows; empty: prepared by a version that did not say."""
    unserved_stops: Mapping[str, int] = field(default_factory=dict)
    """Those of them, with their ids, at which a server of the base model does not stop unless it is told."""
    model_license: str | None = None
    """License that the base model states (a Hub identifier); None: it states none."""

    @property
    def method_label(self) -> str:
        """What the adapter was made by, with the settings of the method."""
        method = self.spec.method
        if method is not None and method.dpo is not None:
            dpo = method.dpo
            normalised = ", normalised by length" if dpo.length_normalised else ""
            return (
                f"direct preference optimisation (DPO), beta {dpo.beta:g}, weight of the chosen answers' likelihood"
                f" {dpo.sft_weight:g}{normalised}"
            )
        if method is not None and method.kto is not None:
            kto = method.kto
            return (
                f"Kahneman-Tversky optimisation (KTO), beta {kto.beta:g}, weights {kto.desirable_weight:g} of desirable"
                f" and {kto.undesirable_weight:g} of undesirable answers"
            )
        return "supervised fine-tuning"

    @property
    def revision_label(self) -> str:
        """What `model_commit` is: a commit, or the digest of the content where the files are from elsewhere."""
        model = self.spec.model
        return "Digest of the model's files" if model.source and not model.revision else "Model commit"
