"""What the train stage asks of an objective."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from lora_contract.finetune.training import GateSpec
from lora_trainer.batches.batch import Batch, Collate, Row
from lora_trainer.batches.prepared_rows import Rows
from lora_trainer.evaluation.answers import AnswerScores
from lora_trainer.model.forward import ForwardPass
from lora_trainer.processes.group import Group

#: What is measured: the adapter; what it is compared with at the start of training, the base or its parent; or another
#: model that was there before.
Role = Literal["adapter", "reference", "earlier"]


@dataclass(frozen=True)
class Figure:
    """What is reported beside the loss: its key in logs (`token_accuracy`), and its name in the report.

    `lower_is_better` is None where neither more nor less is better by itself.
    """

    key: str
    name: str
    lower_is_better: bool | None


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
        """Combine what rows say that were measured in parts; a figure is the mean over those parts that have it."""
        parts = list(parts)

        def mean(values: Iterable[tuple[float, float]]) -> float:
            counted = [(value, weight) for value, weight in values if weight]
            return (
                sum(value * weight for value, weight in counted) / sum(w for _, w in counted) if counted else math.nan
            )

        keys = dict.fromkeys(key for part in parts for key in part.figures)
        figures = {key: mean((part.figures[key], part.weight) for part in parts if key in part.figures) for key in keys}
        return cls(mean((part.loss, part.weight) for part in parts), figures, sum(part.weight for part in parts))


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

    def prepare_step(self, forward_pass: ForwardPass, model: nn.Module, batches: Sequence[Batch], group: Group) -> None:
        """Add to the batches of an optimiser step what their losses need of all of them.

        The processes of a group do it at the same time, each with its own batches.
        """
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
        role: Role = "adapter",
    ) -> Measured:
        """Measure a model on rows, in its role. `alive` is called before every batch.

        The processes of a `group` share the rows.
        """
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
