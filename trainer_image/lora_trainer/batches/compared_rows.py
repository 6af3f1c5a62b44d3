"""Rows whose answers are compared with what the reference model says of them: pairs, and completions with a label.

The reference model is the base without the adapter. Each row has two sequences of tokens whose log-probabilities count:
chosen and rejected answer of a pair; a completion, and the same prompt with the completion of another row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from lora_trainer.batches.batch import Row
from lora_trainer.batches.prepared_rows import Rows

LogProbabilities = npt.NDArray[np.float32]

#: Decides which completion stands behind which other prompt: the same in every run on the same rows.
_SEED_OF_MISMATCHES = 0


@dataclass(frozen=True)
class ComparedRow(Row, ABC):
    """A row with what the reference model says of its two sequences, [2]; None before it was asked."""

    reference_log_probabilities: LogProbabilities | None = None

    @property
    @abstractmethod
    def sequences(self) -> tuple[Row, Row]:
        """Give the two sequences, in the order of `reference_log_probabilities`."""


@dataclass(frozen=True)
class Pair(ComparedRow):
    """The prompt with the chosen answer, and behind it the prompt with the rejected one, from `rejected_from` on."""

    rejected_from: int = 0

    @property
    def sequences(self) -> tuple[Row, Row]:
        """Give the chosen answer and the rejected one, each behind the prompt."""
        at = self.rejected_from
        return Row(self.input_ids[:at], self.targets[:at]), Row(self.input_ids[at:], self.targets[at:])

    @property
    def silent(self) -> Self:
        """A pair of short parts in which nothing counts."""
        ids = np.tile(self.input_ids[:8], 2)
        nothing = np.zeros(len(ids), dtype=np.bool_)
        return type(self)(ids, nothing, reference_log_probabilities=_zeros(), rejected_from=len(ids) // 2)


@dataclass(frozen=True)
class Completion(ComparedRow):
    """A prompt with a completion, whether that is desirable, and the prompt with the completion of another row."""

    desirable: bool = True
    mismatched: Row | None = None

    @property
    def sequences(self) -> tuple[Row, Row]:
        """Give the completion and the other row's, each behind this row's prompt."""
        return Row(self.input_ids, self.targets), self.mismatched or self.silent

    @property
    def silent(self) -> Self:
        """A short part in which nothing counts."""
        row = super().silent
        return type(self)(row.input_ids, row.targets, reference_log_probabilities=_zeros(), mismatched=row)


def _zeros() -> LogProbabilities:
    return np.zeros(2, dtype=np.float32)


class ComparedRows(Rows, ABC):
    """Rows with two sequences each, and what the reference model says of them, [rows, 2]; None before it was asked."""

    def __init__(self, path: Path, *, only: Sequence[int] | None = None) -> None:
        """Map the file; of its rows `only` these, where given."""
        super().__init__(path, only=only)
        self.only = None if only is None else list(only)
        self.reference_log_probabilities: LogProbabilities | None = None

    @property
    @abstractmethod
    def sequence_lengths(self) -> npt.NDArray[np.int64]:
        """Tell the most tokens that each sequence has, [rows, 2]."""

    @abstractmethod
    def __getitem__(self, index: int) -> ComparedRow:
        """Read a row."""

    def sequence(self, number: int) -> Row:
        """Read a sequence by its number in `sequence_lengths`, row by row."""
        return self[number // 2].sequences[number % 2]

    def _said_of(self, index: int) -> LogProbabilities | None:
        known = self.reference_log_probabilities
        return None if known is None else known[index]


class Pairs(ComparedRows):
    """Pairs of answers; the file says in `rejected_from` where the second one begins."""

    @property
    def sequence_lengths(self) -> npt.NDArray[np.int64]:
        """Tell the tokens of chosen and rejected answers with their prompts, [rows, 2]."""
        return np.stack([self.rejected_from, self.lengths - self.rejected_from], axis=1)

    def __getitem__(self, index: int) -> Pair:
        row, index = super(ComparedRows, self).__getitem__(index), int(index)
        return Pair(
            row.input_ids,
            row.targets,
            reference_log_probabilities=self._said_of(index),
            rejected_from=int(self.rejected_from[index]),
        )


class Completions(ComparedRows):
    """Completions with a label; the file says in `desirable` which it is.

    The KL divergence is estimated with prompts and completions that do not belong together. Behind each prompt stands
    the completion of the next row in one shuffled order of the file, so what the reference says of it is known
    beforehand, and it is the same whatever a batch holds.
    """

    def __init__(self, path: Path, *, only: Sequence[int] | None = None) -> None:
        """Map the file; of its rows `only` these, where given."""
        super().__init__(path, only=only)
        order = np.random.default_rng(_SEED_OF_MISMATCHES).permutation(len(self))
        self._others = np.empty(len(self), dtype=np.int64)
        self._others[order] = np.roll(order, -1)

    @property
    def sequence_lengths(self) -> npt.NDArray[np.int64]:
        """Tell the tokens of each row, and the most that the other completion behind its prompt can have."""
        together = self.lengths + self.lengths[self._others]
        return np.stack([self.lengths, np.minimum(together, self.lengths.max(initial=0))], axis=1)

    def __getitem__(self, index: int) -> Completion:
        row, index = super(ComparedRows, self).__getitem__(index), int(index)
        other = super(ComparedRows, self).__getitem__(int(self._others[index]))
        return Completion(
            row.input_ids,
            row.targets,
            reference_log_probabilities=self._said_of(index),
            desirable=bool(self.desirable[index]),
            mismatched=_mismatched(row, other, longest=int(self.lengths.max())),
        )


def _mismatched(row: Row, other: Row, *, longest: int) -> Row:
    """Put the completion of another row behind the prompt of this one, cut to the longest row that was planned for."""
    at, begin = _begin(row), _begin(other)
    ids = np.concatenate([row.input_ids[:at], other.input_ids[begin:]])
    targets = np.concatenate([np.zeros(at, dtype=np.bool_), other.targets[begin:]])
    return Row(ids[:longest], targets[:longest])


def _begin(row: Row) -> int:
    """Tell where the completion begins: at the first token that counts."""
    return int(row.targets.argmax())
