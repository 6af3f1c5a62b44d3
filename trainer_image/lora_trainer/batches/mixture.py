"""Which rows an epoch takes of several sources: each row a whole number of times, and some of them once more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Mixture:
    """`sources`: int [rows], the number of each row's source; `epoch_rows`: rows of an epoch from each source."""

    sources: npt.NDArray[np.int64]
    epoch_rows: tuple[int, ...]

    @property
    def count(self) -> int:
        """Rows of an epoch."""
        return sum(self.epoch_rows)

    def rows(self, seed: int, epoch: int) -> npt.NDArray[np.int64]:
        """List the rows of an epoch, int [count], source by source and not yet shuffled.

        They follow from seed and epoch alone. Which rows come once more than others differs between epochs.
        """
        parts = []
        for number, wanted in enumerate(self.epoch_rows):
            own = np.flatnonzero(self.sources == number)
            if not len(own):
                continue
            passes, more = divmod(wanted, len(own))
            extra = np.random.default_rng((seed, epoch, number)).permutation(own)[:more]
            parts += [np.tile(own, passes), np.sort(extra)]
        return np.concatenate(parts).astype(np.int64)
