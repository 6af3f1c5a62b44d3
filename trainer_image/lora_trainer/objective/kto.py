"""Kahneman-Tversky optimisation (KTO): desirable completions are to become likelier, undesirable ones less likely.

With the log-ratio r(y) = log p(y|x) - log p_reference(y|x) of a completion y to the prompt x, and an estimate z of the
KL divergence between adapter and reference, the loss of a completion is (Ethayarajh et al., 2024, arXiv 2402.01306,
equations 7 and 8; TRL's KTOTrainer)

    desirableWeight   (1 - sigmoid(beta (r(y) - z)))    where it is desirable
    undesirableWeight (1 - sigmoid(beta (z - r(y))))    where it is not

z is the mean of log p(y'|x) - log p_reference(y'|x) over prompts x of the step and completions y' of other rows, at
least 0, and has no gradient. TRL takes the mean over a micro batch, and y' from the neighbour in it. Here the mean is
over all rows of an optimiser step, in all processes, and each row's y' is always the same (`Completions`). So the loss
depends neither on the size of micro batches nor on the number of processes, and what the reference says of y' is
computed once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lora_contract.finetune.method import KtoSpec
from lora_trainer.batches.batch import Batch, Collate, Row, to_device
from lora_trainer.batches.compared_rows import Completion, Completions
from lora_trainer.evaluation import log_probabilities
from lora_trainer.evaluation.log_probabilities import TARGETS_OF_ROWS
from lora_trainer.model.forward import ForwardPass
from lora_trainer.objective.compared import ACCURACY, CHOSEN_LOSS, KL, MARGIN, REFERENCE, Compared, references
from lora_trainer.objective.objective import Measured, Role
from lora_trainer.processes.group import Group

#: Keys of a batch: bool [rows]; the batch of mismatched completions; the estimate of the KL divergence, a scalar.
_DESIRABLE, _MISMATCHED, _DIVERGENCE = "desirable", "mismatched", "divergence"


class KahnemanTverskyOptimisation(Compared):
    """The loss is the mean over completions; the reference is the base model, or the adapter that it goes on from."""

    loss_unit = "per completion"
    figures = (ACCURACY, MARGIN, KL, CHOSEN_LOSS)

    def __init__(self, settings: KtoSpec) -> None:
        """`settings` are `spec.method.kto`."""
        self._settings = settings

    def rows(self, path: Path, *, only: Sequence[int] | None = None) -> Completions:
        """Map a file of completions."""
        return Completions(path, only=only)

    def collate(self, forward_pass: ForwardPass) -> Collate:
        """Make a batch of completions, and beside it one of the same prompts with completions of other rows."""

        def collated(rows: Sequence[Row]) -> Batch:
            completions = cast("Sequence[Completion]", rows)
            matched, mismatched = zip(*(row.sequences for row in completions), strict=True)
            return {
                **_counted(forward_pass, matched),
                REFERENCE: references(rows),
                _DESIRABLE: torch.tensor([row.desirable for row in completions]),
                _MISMATCHED: _counted(forward_pass, mismatched),
            }

        return collated

    def prepare_step(self, forward_pass: ForwardPass, model: nn.Module, batches: Sequence[Batch], group: Group) -> None:
        """Estimate the KL divergence over all rows of the step, for the losses of its batches."""
        device = next(model.parameters()).device
        was_training = model.training
        model.eval()
        total, rows = 0.0, 0.0
        for batch in batches:
            mismatched = to_device(batch.pop(_MISMATCHED), device)
            with forward_pass.evaluating(model, mismatched):
                found = log_probabilities.of_rows(forward_pass, model, mismatched).cpu()
            total += float((found - batch[REFERENCE][:, 1]).sum(dtype=torch.float64))
            rows += float(self.weight_sum(batch))
        model.train(was_training)
        divergence = _divergence(*group.total(total, rows))
        for batch in batches:
            batch[_DIVERGENCE] = torch.tensor(divergence, dtype=torch.float32)

    def loss_sum(self, forward_pass: ForwardPass, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """Sum up the losses of the completions."""
        found = log_probabilities.of_rows(forward_pass, model, batch)
        ratios = found - batch[REFERENCE][:, 0]
        losses = self._losses(ratios, batch[_DESIRABLE], batch[_DIVERGENCE])
        return (losses * (torch.tensor(batch[TARGETS_OF_ROWS], device=found.device) > 0)).sum()

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
        """Measure loss and preferences over all rows.

        There are no pairs, so each desirable completion is compared with each undesirable one. Figures for which there
        are no completions of a kind are left out.
        """
        said = self.said(forward_pass, model, rows, alive=alive, group=group, role=role)
        desirable = torch.tensor([row.desirable for row in cast("Sequence[Completion]", rows)], dtype=torch.bool)
        divergence = _divergence(float(said.ratios[:, 1].sum()), len(rows))
        losses = self._losses(said.ratios[:, 0], desirable, torch.tensor(divergence))
        wanted, unwanted = said.scores[desirable, 0], said.scores[~desirable, 0]
        figures = {KL.key: divergence}
        if len(wanted):
            figures[CHOSEN_LOSS.key] = float(-(said.model[:, 0] / said.counts[:, 0])[desirable].mean())
        if len(wanted) and len(unwanted):
            figures[ACCURACY.key] = _share_above(wanted, unwanted)
            figures[MARGIN.key] = self._settings.beta * float(wanted.mean() - unwanted.mean())
        return Measured(float(losses.mean()), figures, len(rows))

    def _losses(self, ratios: Tensor, desirable: Tensor, divergence: Tensor) -> Tensor:
        """Compute the loss of each completion."""
        settings = self._settings
        distances = settings.beta * (ratios - divergence)
        return torch.where(
            desirable,
            settings.desirable_weight * (1 - torch.sigmoid(distances)),
            settings.undesirable_weight * (1 - torch.sigmoid(-distances)),
        )


def _counted(forward_pass: ForwardPass, rows: Sequence[Row]) -> Batch:
    return {**forward_pass.collate(rows), TARGETS_OF_ROWS: [row.target_count for row in rows]}


def _divergence(total: float, rows: float) -> float:
    """Estimate the KL divergence from the log-ratios of so many mismatched completions; it is never below 0."""
    return max(0.0, total / rows) if rows else math.nan


def _share_above(wanted: Tensor, unwanted: Tensor) -> float:
    """Tell the share of all pairs in which the wanted one scores more; equal scores count half."""
    below = torch.searchsorted(unwanted.sort().values, wanted)
    not_above = torch.searchsorted(unwanted.sort().values, wanted, right=True)
    return float((below + not_above).double().mean()) / 2 / len(unwanted)
