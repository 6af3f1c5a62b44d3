"""Rows and the two kinds of batch that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

#: Label of a position that does not count for the loss.
IGNORED = -100
#: What a model reads of a batch; whatever else is in it is for the loss.
MODEL_INPUTS = (
    "input_ids",
    "attention_mask",
    "position_ids",
    "cu_seq_lens_q",
    "cu_seq_lens_k",
    "max_length_q",
    "max_length_k",
)


@dataclass(frozen=True)
class Row:
    """One conversation: `input_ids` int32 [length], `targets` bool [length], true where the token counts.

    `weights` float32 [length]: how much the loss at each target counts, above 0 and at most 1; None: all count 1.
    """

    input_ids: np.ndarray[Any, np.dtype[np.int32]]
    targets: np.ndarray[Any, np.dtype[np.bool_]]
    weights: np.ndarray[Any, np.dtype[np.float32]] | None = None

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def target_count(self) -> int:
        """Tokens that count for the loss; the first token has nothing before it and never counts."""
        return int(self.targets[1:].sum())

    @property
    def silent(self) -> Row:
        """A short part of the row in which nothing counts: for a process that has no row while others have."""
        ids = self.input_ids[:8]
        return Row(ids, np.zeros(len(ids), dtype=np.bool_))

    def cut(self, length: int) -> Row:
        """Take the first `length` tokens, all of them targets; used to compare ways of running a model."""
        ids = self.input_ids[:length]
        return Row(ids, np.arange(len(ids)) > 0)


Batch = dict[str, Any]
Collate = Callable[[Sequence[Row]], Batch]


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move the tensors of a batch to a device."""
    return {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in batch.items()}


def _labels(row: Row) -> np.ndarray[Any, np.dtype[np.int64]]:
    labels = np.where(row.targets, row.input_ids, IGNORED).astype(np.int64)
    labels[:1] = IGNORED
    return labels


def _weights(row: Row) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ones(len(row), dtype=np.float32) if row.weights is None else row.weights


def collate_padding_free(rows: Sequence[Row]) -> Batch:
    """Put rows one after another: input_ids, labels, position_ids [1, tokens], and the bounds of the rows.

    Where a row has weights, weights [1, tokens] too.
    """
    lengths = [len(row) for row in rows]
    bounds = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32)
    batch = {
        "input_ids": torch.from_numpy(np.concatenate([row.input_ids for row in rows]).astype(np.int64))[None],
        "labels": torch.from_numpy(np.concatenate([_labels(row) for row in rows]))[None],
        "position_ids": torch.from_numpy(np.concatenate([np.arange(n) for n in lengths]))[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
    }
    if any(row.weights is not None for row in rows):
        batch["weights"] = torch.from_numpy(np.concatenate([_weights(row) for row in rows]))[None]
    return batch


def collate_padded(rows: Sequence[Row], pad_token_id: int) -> Batch:
    """Pad rows at their end to the longest: input_ids, labels, attention_mask [rows, longest].

    Where a row has weights, weights [rows, longest] too.
    """
    longest = max(len(row) for row in rows)
    input_ids = np.full((len(rows), longest), pad_token_id, dtype=np.int64)
    labels = np.full((len(rows), longest), IGNORED, dtype=np.int64)
    attention_mask = np.zeros((len(rows), longest), dtype=np.int64)
    for index, row in enumerate(rows):
        input_ids[index, : len(row)] = row.input_ids
        labels[index, : len(row)] = _labels(row)
        attention_mask[index, : len(row)] = 1
    batch = {
        "input_ids": torch.from_numpy(input_ids),
        "labels": torch.from_numpy(labels),
        "attention_mask": torch.from_numpy(attention_mask),
    }
    if any(row.weights is not None for row in rows):
        weights = np.stack([np.pad(_weights(row), (0, longest - len(row))) for row in rows])
        batch["weights"] = torch.from_numpy(weights)
    return batch
