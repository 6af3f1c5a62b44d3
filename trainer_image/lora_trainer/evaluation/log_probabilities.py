"""How likely a model finds sequences of tokens, whatever the batch size and the number of processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lora_trainer.batches.batch import Row, to_device
from lora_trainer.evaluation.losses import in_batches
from lora_trainer.model.forward import ForwardPass
from lora_trainer.processes.group import Group

#: Key of a batch: how many targets each of its rows has, in their order.
TARGETS_OF_ROWS = "targets_of_rows"


def of_rows(forward_pass: ForwardPass, model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """Sum up the log-probabilities of each row's targets: float32 [rows], with gradients where they are wanted."""
    targets = forward_pass.log_probabilities(model, batch)
    return torch.stack([part.sum() for part in targets.split(batch[TARGETS_OF_ROWS])])


def of_sequences(
    forward_pass: ForwardPass,
    model: nn.Module,
    lengths: Sequence[int] | np.ndarray[Any, Any],
    read: Callable[[int], Row],
    *,
    before_batch: Callable[[int], None],
    group: Group | None = None,
) -> Tensor:
    """Compute the log-probability of each sequence's targets: float32 [sequences] on the CPU, without gradients.

    `lengths` are the most tokens that each has, and `read` gives one by its number. `before_batch` is called with the
    number of sequences that are done. The processes of a `group` share the sequences, and each gets all results.
    """
    group = group or Group()
    found = torch.zeros(len(lengths), dtype=torch.float32)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    longest_first = np.argsort(-np.asarray(lengths), kind="stable")[group.place.rank :: group.place.size].tolist()
    done = 0
    for numbers in in_batches(longest_first, lambda number: int(lengths[number]), forward_pass.evaluation_tokens):
        before_batch(done)
        rows = [read(number) for number in numbers]
        batch = to_device(forward_pass.collate(rows), device)
        with forward_pass.evaluating(model, batch):
            batch[TARGETS_OF_ROWS] = [row.target_count for row in rows]
            found[numbers] = of_rows(forward_pass, model, batch).cpu()
        done += len(numbers)
    model.train(was_training)
    return group.summed(found)
