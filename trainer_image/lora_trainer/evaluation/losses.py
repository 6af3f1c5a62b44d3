"""Losses on held-out rows, with the weights of their tokens, whatever the batch size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from lora_trainer.batches.batch import Batch, Collate, Row, to_device
from lora_trainer.model.forward import ForwardPass, weights_of_targets
from lora_trainer.model.loss import loss_sum_and_correct
from lora_trainer.processes.group import Group
from lora_trainer.processes.rank import Place

_T = TypeVar("_T")


@dataclass(frozen=True)
class Losses:
    """Sums over all target tokens of some rows: `total` of losses, each times its weight, `weights` of the weights.

    `correct` is the sum of the weights of those that were the most likely token; `targets` counts all.
    """

    total: float
    weights: float
    targets: int
    correct: float

    @property
    def loss(self) -> float:
        """Nats per target token."""
        return self.total / self.weights if self.weights else math.nan

    @property
    def accuracy(self) -> float:
        """Share of target tokens that were the most likely token."""
        return self.correct / self.weights if self.weights else math.nan


def batches_of(rows: Sequence[Row], tokens: int) -> Iterator[list[Row]]:
    """Sort rows by length, in batches of at most `tokens` tokens after padding (one row at least)."""
    return in_batches(sorted(rows, key=len, reverse=True), len, tokens)


def in_batches(items: Iterable[_T], length: Callable[[_T], int], tokens: int) -> Iterator[list[_T]]:
    """Make batches of at most `tokens` tokens after padding (one item at least) of items that come longest first."""
    batch: list[_T] = []
    for item in items:
        if batch and (len(batch) + 1) * length(batch[0]) > tokens:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def measure(
    forward_pass: ForwardPass,
    model: nn.Module,
    rows: Sequence[Row],
    *,
    alive: Callable[[], None] = lambda: None,
    tokens: int | None = None,
    group: Group | None = None,
) -> Losses:
    """Measure loss and token accuracy over all target tokens of `rows`, with their weights.

    `alive` is called before every batch. `tokens`: of one batch, where not those that the forward pass says. The
    processes of a `group` share the rows, and each gets the same sums.
    """
    group = group or Group()
    total, weighed, targets, correct = 0.0, 0.0, 0, 0.0
    for batch in evaluated(
        forward_pass, model, rows, collate=forward_pass.collate, alive=alive, tokens=tokens, place=group.place
    ):
        hidden, labels = forward_pass.targets(model, batch)
        weights = weights_of_targets(batch)
        loss, right = loss_sum_and_correct(hidden, labels, *forward_pass.head(model), weights)
        total, targets, correct = total + loss, targets + len(labels), correct + right
        weighed += len(labels) if weights is None else float(weights.sum(dtype=torch.float64))
    total, weighed, all_targets, correct = group.total(total, weighed, targets, correct)
    return Losses(total, weighed, int(all_targets), correct)


def evaluated(
    forward_pass: ForwardPass,
    model: nn.Module,
    rows: Sequence[Row],
    *,
    collate: Collate,
    alive: Callable[[], None],
    tokens: int | None = None,
    place: Place,
) -> Iterator[Batch]:
    """Yield batches of this process's share of the rows, to be run without gradients; see `measure`."""
    if not place.alone:
        rows = sorted(rows, key=len, reverse=True)[place.rank :: place.size]
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    for together in batches_of(rows, tokens or forward_pass.evaluation_tokens):
        alive()
        batch = to_device(collate(together), device)
        with forward_pass.evaluating(model, batch):
            yield batch
    model.train(was_training)
