"""What objectives have in common that compare what adapter and reference say of answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from lora_contract.finetune.training import GateSpec
from lora_trainer.batches.batch import Row
from lora_trainer.batches.compared_rows import ComparedRow
from lora_trainer.evaluation import log_probabilities
from lora_trainer.evaluation.answers import AnswerScores, gate_failure
from lora_trainer.evaluation.log_probabilities import TARGETS_OF_ROWS
from lora_trainer.model.forward import ForwardPass
from lora_trainer.objective.objective import Figure, Measured, Role
from lora_trainer.processes.group import Group

#: Key of a batch: what the reference says of the sequences of its rows, float32 [rows, 2].
REFERENCE = "reference"

ACCURACY = Figure("preference_accuracy", "Accuracy of preferences", lower_is_better=False)
MARGIN = Figure("margin", "Margin of rewards", lower_is_better=False)
KL = Figure("kl", "KL divergence to the reference, estimated, nats per answer", lower_is_better=None)
CHOSEN_LOSS = Figure("chosen_loss", "Loss on the chosen answers, nats per token", lower_is_better=True)


@dataclass(frozen=True)
class Said:
    """What model and reference say of the sequences of some rows, each [rows, 2]: log-probabilities, in nats.

    `counts` are the targets of the sequences. `scores` are what preferences are read from: how much more likely the
    adapter finds a sequence than the reference does. For models that were there before stands how likely they find a
    sequence: the reference itself would score 0 everywhere.
    """

    model: Tensor
    reference: Tensor
    counts: Tensor
    scores: Tensor

    @property
    def ratios(self) -> Tensor:
        """Give the log of the ratio of both probabilities."""
        return self.model - self.reference


def references(rows: Sequence[Row]) -> Tensor:
    """Give what the reference says of the sequences of rows: float32 [rows, 2]."""
    known = [row.reference_log_probabilities for row in cast("Sequence[ComparedRow]", rows)]
    if any(said is None for said in known):
        raise ValueError("the reference model was not asked about these rows")
    return torch.from_numpy(np.stack(cast("list[Any]", known)))


class Compared:
    """The part of an objective that pairs and single completions share."""

    def weight_sum(self, batch: Mapping[str, Any]) -> Tensor:
        """Count the rows of a batch, silent ones apart."""
        counts = torch.tensor(batch[TARGETS_OF_ROWS]).view(len(batch[REFERENCE]), -1)
        return (counts[:, 0] > 0).sum(dtype=torch.float64)

    def said(
        self,
        forward_pass: ForwardPass,
        model: nn.Module,
        rows: Sequence[Row],
        *,
        alive: Callable[[], None],
        group: Group | None,
        role: Role,
    ) -> Said:
        """Ask the model about rows, in float64; see `Objective.measure`. What the reference says is known."""
        sequences = [sequence for row in cast("Sequence[ComparedRow]", rows) for sequence in row.sequences]
        counts = torch.tensor([sequence.target_count for sequence in sequences]).clamp(min=1).view(-1, 2)
        reference = references(rows).double()
        if role == "reference":
            return Said(reference, reference, counts, scores=reference)
        lengths = [len(sequence) for sequence in sequences]
        found = log_probabilities.of_sequences(
            forward_pass, model, lengths, sequences.__getitem__, before_batch=lambda _done: alive(), group=group
        )
        found = found.double().view(-1, 2)
        return Said(found, reference, counts, scores=found if role == "earlier" else found - reference)

    def gate_failure(
        self,
        gate: GateSpec,
        *,
        test: Measured | None,
        base_test: Measured | None,
        scores: AnswerScores | None,
        forgetting_ratio: float | None,
    ) -> str | None:
        """Hold the gate against loss and preferences on test rows, the loss on general text, and the answers."""
        return gate_failure(
            gate,
            test_loss=None if test is None else test.loss,
            base_test_loss=None if base_test is None else base_test.loss,
            scores=scores,
            forgetting_ratio=forgetting_ratio,
            preference_accuracy=None if test is None else test.figures.get(ACCURACY.key),
        )
