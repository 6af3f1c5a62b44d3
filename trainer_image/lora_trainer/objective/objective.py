"""What the train stage asks of an objective."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from lora_contract.finetune.training import GateSpec
from lora_trainer.batches.batch import Collate, Row
from lora_trainer.batches.prepared_rows import Rows
from lora_trainer.evaluation.answers import AnswerScores
from lora_trainer.model.forward import ForwardPass
from lora_trainer.processes.group import Group


@dataclass(frozen=True)
class Figure:
    """What is reported beside the loss: its key in logs (`token_accuracy`), and its name in the report."""

    key: str
    name: str
    lower_is_better: bool


@dataclass(frozen=True)
class Measured:
    """What some rows say of a model.

    `loss` is what the best adapter is chosen by, less being better; `figures` are values by the key of a `Figure`. Both
    are means over `weight` things, such as target tokens.
    """

    loss: float
    figures: Mapping[str, float] = field(default_factory=dict)
    weight: float = 1

    @classmethod
    def together(cls, parts: Iterable[Measured]) -> Measured:
        """Combine what rows say that were measured in parts."""
        parts = list(parts)
        weight = sum(part.weight for part in parts)
        if not weight:
            return cls(math.nan, {key: math.nan for part in parts for key in part.figures}, 0)

        def mean(values: Iterable[float]) -> float:
            return sum(value * part.weight for value, part in zip(values, parts, strict=True) if part.weight) / weight

        keys = dict.fromkeys(key for part in parts for key in part.figures)
        figures = {key: mean(part.figures.get(key, 0.0) for part in parts) for key in keys}
        return cls(mean(part.loss for part in parts), figures, weight)


class Objective(Protocol):
    """How a batch becomes a loss, and which figures tell how good an adapter is.

    The loss of a step is `loss_sum` over its batches divided by `weight_sum` over the same: so it depends neither on
    the size of micro batches nor on the number of processes.
    """

    @property
    def loss_unit(self) -> str:
        """What the loss is counted in, as the report says it."""
        ...

    @property
    def figures(self) -> Sequence[Figure]:
        """What `measure` finds beside the loss, in the order of the report."""
        ...

    def rows(self, path: Path, *, only: Sequence[int] | None = None) -> Rows:
        """Map a file of prepared rows; of its rows `only` these, where given."""
        ...

    def collate(self, forward_pass: ForwardPass) -> Collate:
        """Give what makes a batch of rows for this forward pass. A batch has labels: a row without any is silent."""
        ...

    def loss_sum(self, forward_pass: ForwardPass, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """Sum up the losses of a batch: a scalar with gradients, in nats; 0 for silent rows.

        `model` is the PEFT model: without its adapter it is the reference.
        """
        ...

    def weight_sum(self, batch: Mapping[str, Any]) -> Tensor:
        """Sum up the weights of a batch's losses: a float64 scalar. Where nothing is weighted, it is their number."""
        ...

    def measure(
        self,
        forward_pass: ForwardPass,
        model: nn.Module,
        rows: Sequence[Row],
        *,
        alive: Callable[[], None],
        group: Group | None = None,
    ) -> Measured:
        """Measure a model on rows. `alive` is called before every batch; the processes of a `group` share the rows."""
        ...

    def gate_failure(
        self,
        gate: GateSpec,
        *,
        test: Measured | None,
        base_test: Measured | None,
        scores: AnswerScores | None,
        forgetting_ratio: float | None,
    ) -> str | None:
        """Say which limit of the gate the adapter missed first; None when it reached all.

        `test` and `base_test` are what the test rows say of adapter and base, `scores` what the adapter's answers to
        some of them are worth, `forgetting_ratio` its loss on general text by that of the base.
        """
        ...
