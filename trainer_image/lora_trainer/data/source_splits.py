"""What is held out of each source of a dataset, and the positions of its rows, from which the exact numbers follow."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from lora_contract.finetune.dataset import DatasetSpec
from lora_trainer.data import splits
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.data.splits import Bounds, Split


class SourceSplits:
    """Assigns rows to splits, by the name of their source."""

    def __init__(self, spec: DatasetSpec, dataset: Dataset, bounds: Mapping[str, Bounds]) -> None:
        """`bounds` are where the splits of a source end, if not where the shares in the spec say."""
        self._seed = spec.split.seed
        self._shares = {source.name: _shares(spec, dataset, source.name) for source in spec.data_sources}
        shares = {name: splits.shares_as_bounds(validation=v, test=t) for name, (v, t) in self._shares.items()}
        self._bounds = {**shares, **bounds}
        #: 8 bytes a row.
        self._positions = {name: array("d") for name in self._shares}

    def assign(self, source: str, key: bytes) -> Split:
        """Find the split of the first row with this fingerprint."""
        position = splits.position(key, self._seed)
        self._positions[source].append(position)
        return splits.assign(position, self._bounds[source])

    def exact_bounds(self) -> dict[str, Bounds]:
        """Give the bounds of sources of which the shares hold out too many or too few rows; ask after the last row."""
        found = {}
        for name, positions in self._positions.items():
            validation, test = self._shares[name]
            bounds = splits.exact_bounds(positions, validation=validation, test=test)
            if bounds is not None:
                found[name] = bounds
        return found


def _shares(spec: DatasetSpec, dataset: Dataset, source: str) -> tuple[float, float]:
    """Find what is held out of the files of a source: nothing for a split that has files of it, or of no source."""
    of_it = ("", source)
    own_validation = any(file.source in of_it for file in dataset.validation)
    own_test = any(file.source in of_it for file in dataset.test)
    return 0.0 if own_validation else spec.split.validation, 0.0 if own_test else spec.split.test
