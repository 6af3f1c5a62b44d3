"""The user's spec of a sweep."""

from __future__ import annotations

from typing import ClassVar

from lora_contract.base import Rule, SpecModel
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.finetune.fields import documented
from lora_contract.sweep.varied import (
    LoraChanges,
    LoraValues,
    MethodChanges,
    MethodValues,
    TrainingChanges,
    TrainingValues,
)

#: Two digits number the trials in their names.
MAX_TRIALS = 100


class GridSpec(SpecModel):
    """Values of each field; every combination of them is a trial."""

    lora: LoraValues = documented(LoraValues(), "Values to try of fields of lora.", {"r": [8, 16]})
    training: TrainingValues = documented(
        TrainingValues(), "Values to try of fields of training.", {"learningRate": [0.0001, 0.0002]}
    )
    method: MethodValues = documented(
        MethodValues(), "Values to try of fields of the template's method.", {"dpo": {"beta": [0.05, 0.1]}}
    )


class TrialSpec(SpecModel):
    """The fields in which one trial differs from the template."""

    lora: LoraChanges = documented(LoraChanges(), "Fields of lora that this trial sets.", {"r": 8})
    training: TrainingChanges = documented(
        TrainingChanges(), "Fields of training that this trial sets.", {"learningRate": 0.0001}
    )
    method: MethodChanges = documented(
        MethodChanges(), "Fields of the template's method that this trial sets.", {"dpo": {"beta": 0.05}}
    )


class MedianStoppingSpec(SpecModel):
    """When to stop a trial because the others were better at the same point.

    The median stopping rule of Google Vizier (Golovin et al., 2017), with the best loss so far of the other trials,
    finished or not, in place of running averages.
    """

    start_percent: int = documented(
        30, "Share of its steps in percent that every trial may do before it is judged.", 30, ge=10, le=90
    )
    min_trials: int = documented(
        3, "Other trials whose loss at the same point must be known before one is stopped.", 3, ge=1, le=99
    )


class TemplateSpec(SpecModel):
    """What all trials have in common."""

    spec: LoRAFineTuneSpec = documented(
        ..., "The spec of a LoRAFineTune; a trial sets its own fields over it.", {"training": {"maxSteps": 100}}
    )


class LoRASweepSpec(SpecModel):
    """Several fine-tuning runs that differ in a few fields."""

    suspend: bool = documented(
        False, "Suspend all trials after a checkpoint and start none; set to false to go on.", False
    )
    max_parallel: int = documented(
        2, "Trials that are under way at the same time; a queue may let fewer run.", 2, ge=1, le=MAX_TRIALS
    )
    grid: GridSpec | None = documented(
        None,
        f"Values to combine, at most {MAX_TRIALS} combinations. Exactly one of grid and trials.",
        {"training": {"learningRate": [0.0001, 0.0002]}},
    )
    trials: list[TrialSpec] | None = documented(
        None,
        "The trials one by one. Exactly one of grid and trials.",
        [{"training": {"learningRate": 0.0001}}],
        min_length=1,
        max_length=MAX_TRIALS,
    )
    median_stopping: MedianStoppingSpec | None = documented(
        None, "Stop trials that fall behind; absent: every trial runs to its end.", {"startPercent": 30}
    )
    template: TemplateSpec = documented(..., "What all trials have in common.", {"spec": {}})

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="has(self.grid) != has(self.trials)",
            message="set exactly one of grid and trials",
            holds=lambda s: (s.grid is None) != (s.trials is None),
        ),
        Rule(
            cel="!self.template.spec.suspend",
            message="template.spec.suspend must be false; set suspend of the sweep to suspend all trials",
            holds=lambda s: not s.template.spec.suspend,
        ),
        Rule(
            cel="has(self.template.spec.dataset.validationUri) || self.template.spec.dataset.split.validation > 0.0",
            message="trials are compared on held-out rows; set template.spec.dataset.validationUri,"
            " or template.spec.dataset.split.validation above 0",
            holds=lambda s: (
                s.template.spec.dataset.validation_uri is not None or s.template.spec.dataset.split.validation > 0
            ),
        ),
    )

    #: Rules between the old and the new spec, known to the API server alone: CEL and message.
    transition_rules: ClassVar[tuple[tuple[str, str], ...]] = (
        ("self.template == oldSelf.template", "spec.template is immutable; create a new LoRASweep"),
        *(
            (
                f"has(self.{part}) == has(oldSelf.{part}) && (!has(self.{part}) || self.{part} == oldSelf.{part})",
                f"spec.{part} is immutable; create a new LoRASweep",
            )
            for part in ("grid", "trials")
        ),
    )
