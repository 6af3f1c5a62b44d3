"""Supervised fine-tuning: each target token is to be predicted from those before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lora_contract.finetune.training import GateSpec
from lora_trainer.batches.batch import IGNORED, Batch, Collate, Row
from lora_trainer.batches.prepared_rows import Rows
from lora_trainer.evaluation.answers import AnswerScores, gate_failure
from lora_trainer.evaluation.losses import measure
from lora_trainer.model.forward import ForwardPass, weights_of_targets
from lora_trainer.objective.objective import Figure, Measured, Role
from lora_trainer.processes.group import Group

_ACCURACY = Figure("token_accuracy", "Token accuracy", lower_is_better=False)


class SupervisedFineTuning:
    """The loss is the mean negative log likelihood of the target tokens, each with its weight."""

    loss_unit = "nats per target token"
    figures = (_ACCURACY,)

    def rows(self, path: Path, *, only: Sequence[int] | None = None) -> Rows:
        """Map a file of tokenised rows."""
        return Rows(path, only=only)

    def collate(self, forward_pass: ForwardPass) -> Collate:
        """Give the forward pass's own batches of rows."""
        return forward_pass.collate

    def prepare_step(self, forward_pass: ForwardPass, model: nn.Module, batches: Sequence[Batch], group: Group) -> None:
        """Do nothing: the loss of a token depends on no other row."""

    def loss_sum(self, forward_pass: ForwardPass, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """Sum up the negative log likelihoods of the batch's targets, each times its weight."""
        return forward_pass.loss_sum(model, batch)

    def weight_sum(self, batch: Mapping[str, Any]) -> Tensor:
        """Sum up the weights of the batch's targets; without weights it is their number."""
        weights = weights_of_targets(batch)
        counted: Tensor = (batch["labels"][:, 1:] != IGNORED) if weights is None else weights
        return counted.sum(dtype=torch.float64)

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
        """Measure loss and token accuracy over all target tokens of the rows, with their weights."""
        losses = measure(forward_pass, model, rows, alive=alive, group=group)
        return Measured(losses.loss, {_ACCURACY.key: losses.accuracy}, losses.weights)

    def gate_failure(
        self,
        gate: GateSpec,
        *,
        test: Measured | None,
        base_test: Measured | None,
        scores: AnswerScores | None,
        forgetting_ratio: float | None,
    ) -> str | None:
        """Hold the gate against the loss on test rows, the loss on general text, and the answers."""
        return gate_failure(
            gate,
            test_loss=None if test is None else test.loss,
            base_test_loss=None if base_test is None else base_test.loss,
            scores=scores,
            forgetting_ratio=forgetting_ratio,
        )
