"""Direct preference optimisation (DPO): of two answers to a prompt the chosen one is to become likelier.

With the log-ratio r(y) = log p(y|x) - log p_reference(y|x), summed up over the tokens of an answer y to the prompt x,
the loss of a pair is

    -log sigmoid(beta (r(chosen) - r(rejected)))  -  sftWeight log p(chosen|x) / |chosen|

The first term is equation 7 of Rafailov et al., 2023 (arXiv 2305.18290). The second is the mean negative log likelihood
of the chosen answer by token, as Pang et al., 2024 add it (arXiv 2404.19733, equation 1), and TRL's `sft` where a pass
holds one pair. With lengthNormalised both r are divided by the tokens of their answer, as TRL's `sigmoid_norm` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lora_contract.finetune.method import DpoSpec
from lora_trainer.batches.batch import Batch, Collate, Row
from lora_trainer.batches.compared_rows import Pair, Pairs
from lora_trainer.evaluation import log_probabilities
from lora_trainer.evaluation.log_probabilities import TARGETS_OF_ROWS
from lora_trainer.model.forward import ForwardPass
from lora_trainer.objective.compared import ACCURACY, CHOSEN_LOSS, KL, MARGIN, REFERENCE, Compared, references
from lora_trainer.objective.objective import Measured, Role
from lora_trainer.processes.group import Group


class DirectPreferenceOptimisation(Compared):
    """The loss is the mean over pairs; the reference is the base model, or the adapter that it goes on from."""

    loss_unit = "nats per pair"
    figures = (ACCURACY, MARGIN, KL, CHOSEN_LOSS)

    def __init__(self, settings: DpoSpec) -> None:
        """`settings` are `spec.method.dpo`."""
        self._settings = settings

    def rows(self, path: Path, *, only: Sequence[int] | None = None) -> Pairs:
        """Map a file of pairs."""
        return Pairs(path, only=only)

    def collate(self, forward_pass: ForwardPass) -> Collate:
        """Put both answers of each pair into one batch, one after the other."""

        def collated(rows: Sequence[Row]) -> Batch:
            answers = [answer for pair in cast("Sequence[Pair]", rows) for answer in pair.sequences]
            counts = [answer.target_count for answer in answers]
            return {**forward_pass.collate(answers), TARGETS_OF_ROWS: counts, REFERENCE: references(rows)}

        return collated

    def prepare_step(self, forward_pass: ForwardPass, model: nn.Module, batches: Sequence[Batch], group: Group) -> None:
        """Do nothing: the loss of a pair depends on no other."""

    def loss_sum(self, forward_pass: ForwardPass, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """Sum up the losses of the pairs."""
        found = log_probabilities.of_rows(forward_pass, model, batch).view(-1, 2)
        counts = torch.tensor(batch[TARGETS_OF_ROWS], device=found.device).view(-1, 2)
        losses = self._losses(found, batch[REFERENCE], counts.clamp(min=1))
        return (losses * (counts[:, 0] > 0)).sum()

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
        """Measure loss, preferences, and how far the model went from the reference, each a mean over the pairs."""
        said = self.said(forward_pass, model, rows, alive=alive, group=group, role=role)
        differences = self._differences(said.scores, said.counts)
        figures = {
            ACCURACY: (differences > 0).double(),
            MARGIN: self._settings.beta * differences,
            KL: said.ratios[:, 0],
            CHOSEN_LOSS: -said.model[:, 0] / said.counts[:, 0],
        }
        losses = self._losses(said.model, said.reference, said.counts)
        return Measured(
            float(losses.mean()), {figure.key: float(values.mean()) for figure, values in figures.items()}, len(rows)
        )

    def _losses(self, model: Tensor, reference: Tensor, counts: Tensor) -> Tensor:
        """Compute the loss of each pair from what is said of both answers, [pairs, 2], and from their tokens."""
        losses = -functional.logsigmoid(self._settings.beta * self._differences(model - reference, counts))
        if self._settings.sft_weight:
            losses = losses - self._settings.sft_weight * model[:, 0] / counts[:, 0]
        return losses

    def _differences(self, scores: Tensor, counts: Tensor) -> Tensor:
        """Tell how much more the chosen answers score than the rejected ones."""
        if self._settings.length_normalised:
            scores = scores / counts
        return scores[:, 0] - scores[:, 1]
