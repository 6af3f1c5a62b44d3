"""How many training rows of an epoch come from each source of dataset.sources.

Without shares a source gives its rows as often as its `repeats` says. With shares an epoch is as long as it must be so
that no source gives fewer rows than it has: the source that is largest for its share gives each row once, the others
repeat theirs. prepare plans with these numbers, and train, which knows spec and rows, finds the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from lora_contract import spec_paths
from lora_contract.counts import count, counted
from lora_contract.finetune import DatasetSpec
from lora_trainer.errors import bad_config, bad_data

#: Most rows of an epoch: the order of an epoch is held in memory, 8 bytes a row.
MOST_ROWS = 50_000_000


def epoch_rows(dataset: DatasetSpec, rows: Sequence[int]) -> list[int]:
    """Count the training rows of an epoch from each source, whose files have so many; sources in the order of names.

    Raises:
        TrainerError: 65, a source with a share has no training row; 64, an epoch would be too long.
    """
    sources = sorted(dataset.sources or (), key=lambda source: source.name)
    shares = [source.share for source in sources if source.share is not None]
    if not shares:
        wanted = [number * (source.repeats or 1) for source, number in zip(sources, rows, strict=True)]
        return _bounded(wanted, "lower repeats in dataset.sources")
    for source, number in zip(dataset.data_sources, rows, strict=True):
        if not number:
            raise bad_data(
                f"no training row is left of {source.label.removesuffix(': ')}, so its share cannot be kept",
                param=f"{source.path}.share",
                hint="add rows to it, or remove the source and give its share to the others",
            )
    longest = max(number / share for number, share in zip(rows, shares, strict=True))
    wanted = [max(number, round(longest * share)) for number, share in zip(rows, shares, strict=True)]
    return _bounded(wanted, "raise the share of the largest source in dataset.sources, or leave rows of it out")


def _bounded(wanted: list[int], hint: str) -> list[int]:
    if sum(wanted) > MOST_ROWS:
        raise bad_config(
            f"an epoch would have {counted(sum(wanted), 'row')} by the shares or repeats of its sources;"
            f" {count(MOST_ROWS)} are the most",
            param=spec_paths.DATASET_SOURCES,
            hint=hint,
        )
    return wanted
