"""The order in which rows are trained on, and how they are read back."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lora_trainer.batches.prepared_rows import EffectiveBatches, EpochLoader, Rows
from lora_trainer.data.prepared import TEST_SCHEMA
from lora_trainer.processes.rank import Place


def batches(
    count: int, micro: int, *, epoch: int = 0, lengths: Any = None, place: Place | None = None
) -> list[list[int]]:
    sampler = EffectiveBatches(
        count, effective_batch_size=8, micro_batch_size=micro, seed=3, lengths=lengths, place=place
    )
    sampler.set_epoch(epoch)
    found = list(sampler)
    assert len(sampler) == len(found)
    return found


def flat(micro_batches: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(micro_batches))


def test_every_row_comes_once_an_epoch_and_epochs_differ() -> None:
    first, second = batches(30, 4), batches(30, 4, epoch=1)
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(30))
    assert first != second


@pytest.mark.parametrize("micro", [1, 2, 4, 8])
def test_the_rows_of_an_effective_batch_do_not_depend_on_the_micro_batch(micro: int) -> None:
    assert flat(batches(30, micro)) == flat(batches(30, 8))


@pytest.mark.parametrize("processes", [2, 4, 8])
@pytest.mark.parametrize("count", [8, 30, 33])
def test_processes_share_each_effective_batch_and_every_row_comes_once(processes: int, count: int) -> None:
    shares = [batches(count, 1, place=Place(rank, processes)) for rank in range(processes)]
    # every process makes the same number of micro batches, also where it has no row
    assert len({len(share) for share in shares}) == 1
    # Together they go through the rows of one process, effective batch by effective batch
    alone = batches(count, 8)
    for number, whole in enumerate(alone):
        part = slice(number * 8 // processes, (number + 1) * 8 // processes)
        assert sorted(flat([flat(share[part]) for share in shares])) == sorted(whole)


def test_a_process_without_a_row_gets_an_empty_batch() -> None:
    shares = [batches(9, 4, place=Place(rank, 2)) for rank in range(2)]
    assert [len(share[-1]) for share in shares] == [1, 0]


def test_sorted_rows_are_of_like_length_in_all_processes() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 8)
    first, second = (batches(8, 4, lengths=lengths, place=Place(rank, 2)) for rank in range(2))
    ordered = sorted(lengths, reverse=True)
    assert [lengths[i] for i in first[0]] == ordered[0::2]
    assert [lengths[i] for i in second[0]] == ordered[1::2]


def test_padded_rows_are_sorted_within_their_effective_batch_only() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 32)
    plain, grouped = batches(32, 8), batches(32, 8, lengths=lengths)
    for mine, other in zip(grouped, plain, strict=True):
        assert sorted(mine) == sorted(other)
        assert [lengths[i] for i in mine] == sorted((lengths[i] for i in mine), reverse=True)


def test_a_loader_takes_up_the_epoch_also_after_batches_were_skipped() -> None:
    from accelerate.data_loader import skip_first_batches  # noqa: PLC0415

    sampler = EffectiveBatches(20, effective_batch_size=8, micro_batch_size=4, seed=0)
    loader = EpochLoader(list(range(20)), batch_sampler=sampler, collate_fn=list)  # type: ignore[arg-type]
    loader.set_epoch(2)
    whole = list(loader)
    assert list(skip_first_batches(loader, 3)) == whole[3:]


def test_rows_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"input_ids": [5, 6, 7], "targets": [False, False, True], "length": 3, "prompt_ids": [5, 6], "reference": "a"},
        {"input_ids": [8, 9], "targets": [False, True], "length": 2, "prompt_ids": [8], "reference": "b"},
    ]
    pq.write_table(pa.Table.from_pylist(rows, TEST_SCHEMA), tmp_path / "test.parquet", row_group_size=1)
    found = Rows(tmp_path / "test.parquet")
    assert len(found) == 2
    assert [found[i].input_ids.tolist() for i in range(2)] == [[5, 6, 7], [8, 9]]
    assert [found[i].targets.tolist() for i in range(2)] == [[False, False, True], [False, True]]
    assert found.prompts == [[5, 6], [8]]
    assert found.references == ["a", "b"]
    assert found.lengths.tolist() == [3, 2]
