"""The tokenised rows, and the order in which they are trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from lora_trainer.batches.batch import Collate, Row
from lora_trainer.batches.mixture import Mixture
from lora_trainer.processes.rank import Place


class Rows(Dataset[Row]):
    """Rows of one Parquet file of `lora_trainer.data.prepared`, mapped into memory from an Arrow file beside it.

    Pages that are not read cost no memory, and the processes of a pod share those that are.
    """

    def __init__(self, path: Path, *, only: Sequence[int] | None = None) -> None:
        """Map the file; of its rows `only` these, where given."""
        table: Any = datasets.Dataset.from_parquet(str(path), cache_dir=str(path.parent / "arrow"))
        if only is not None:
            table = table.select(list(only))
        tokens = [name for name in ("input_ids", "targets", "weights") if name in table.column_names]
        self._tokens = table.select_columns(tokens).with_format("numpy")
        self.lengths: np.ndarray[Any, np.dtype[np.int64]] = np.asarray(table["length"][:], dtype=np.int64)
        names = set(table.column_names)
        self.prompts: list[list[int]] = table["prompt_ids"][:] if "prompt_ids" in names else []
        self.references: list[str] = table["reference"][:] if "reference" in names else []
        # Rows that an earlier version prepared do not say it.
        self.tool_calls: list[str | None] = table["tool_calls"][:] if "tool_calls" in names else [None] * len(table)
        #: Number of each row's source; empty: the run has no sources.
        self.sources: np.ndarray[Any, np.dtype[np.int64]] = np.asarray(
            table["source"][:] if "source" in names else [], dtype=np.int64
        )
        #: Of rows of pairs: where the rejected copy begins in each; empty for other rows.
        self.rejected_from: np.ndarray[Any, np.dtype[np.int64]] = np.asarray(
            table["rejected_from"][:] if "rejected_from" in names else [], dtype=np.int64
        )
        #: Of rows with labels: whether each answer is wanted; empty for other rows.
        self.desirable: np.ndarray[Any, np.dtype[np.bool_]] = np.asarray(
            table["desirable"][:] if "desirable" in names else [], dtype=np.bool_
        )
        #: How often rows come in an epoch; None: once each.
        self.mixture: Mixture | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Row:
        found = self._tokens[int(index)]
        weights = found.get("weights")
        return Row(
            found["input_ids"].astype(np.int32),
            found["targets"].astype(np.bool_),
            None if weights is None else weights.astype(np.float32),
        )


class EffectiveBatches(Sampler[list[int]]):
    """Micro batches of shuffled rows: each run of `accumulation` of them is one effective batch.

    Which rows make an effective batch depends on seed and epoch alone, not on the micro batch size. Every row comes
    once an epoch, or as often as a `mixture` says; the last effective batch of an epoch may be smaller. With `lengths`
    the rows of an effective batch are sorted, so rows of like length are padded together.

    Several processes deal the rows of an effective batch out among them: each has the same number of micro batches,
    the last of which may be smaller in some of them, or empty.
    """

    def __init__(
        self,
        count: int,
        *,
        effective_batch_size: int,
        micro_batch_size: int,
        seed: int,
        lengths: Sequence[int] | np.ndarray[Any, Any] | None = None,
        place: Place | None = None,
        mixture: Mixture | None = None,
    ) -> None:
        """`count` rows, `effective_batch_size` a multiple of `micro_batch_size` times the number of processes."""
        self.count = count if mixture is None else mixture.count
        self.mixture = mixture
        self.effective = effective_batch_size
        self.micro = micro_batch_size
        self.seed = seed
        self.lengths = lengths
        self.place = place or Place()
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take up the order of an epoch; the trainer calls it before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(self.count, self.effective)
        together = self.micro * self.place.size
        return full * (self.effective // together) + -(-rest // together)

    def _order(self, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
        return order if self.mixture is None else self.mixture.rows(self.seed, epoch)[order]

    def largest(self, lengths: np.ndarray[Any, Any], epochs: int) -> int:
        """Find the most tokens that a micro batch of any process holds in the first `epochs`, with rows of `lengths`.

        For batches that are not sorted.
        """
        positions, together = np.arange(self.count), self.micro * self.place.size
        batch = positions // together * self.place.size + positions % together % self.place.size
        return max(int(np.bincount(batch, weights=lengths[self._order(epoch)]).max()) for epoch in range(epochs))

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order(self.epoch)
        for start in range(0, self.count, self.effective):
            chosen = order[start : start + self.effective].tolist()
            if self.lengths is not None:
                lengths = self.lengths
                chosen.sort(key=lambda index: (-int(lengths[index]), index))
            together = self.micro * self.place.size
            for first in range(0, len(chosen), together):
                # Every n-th row: sorted rows are then of like length in all processes at the same time.
                yield chosen[first : first + together][self.place.rank :: self.place.size]


def with_silent_row(collate: Collate, silent: Row) -> Collate:
    """Make a batch also of no rows: a process that has none still takes part in the step of the others."""
    return lambda rows: collate(rows or [silent])


class EpochLoader(DataLoader[Any]):
    """A loader that hands the epoch on to its batches."""

    def set_epoch(self, epoch: int) -> None:
        """Take up the order of an epoch; the trainer calls it before each."""
        self.batch_sampler.set_epoch(epoch)
