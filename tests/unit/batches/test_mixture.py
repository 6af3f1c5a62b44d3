"""How often rows of several sources come in an epoch, and that seed and epoch alone decide which."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import DatasetSpec
from lora_trainer.batches.mixture import Mixture
from lora_trainer.batches.prepared_rows import EffectiveBatches
from lora_trainer.errors import TrainerError
from lora_trainer.planning.epoch_rows import epoch_rows
from lora_trainer.processes.rank import Place


def dataset(**sources: dict[str, Any]) -> DatasetSpec:
    """Sources of these names, the last one first."""
    written = [{"name": name, "uri": f"s3://datasets/{name}", **fields} for name, fields in sources.items()]
    return DatasetSpec.read({"sources": written[::-1]})


def test_repeats_multiply_the_rows_of_a_source() -> None:
    assert epoch_rows(dataset(a={}, b={"repeats": 3}), [10, 4]) == [10, 12]


@pytest.mark.parametrize(
    ("shares", "rows", "expected"),
    [
        ((0.8, 0.2), (80, 20), [80, 20]),
        ((0.8, 0.2), (80, 10), [80, 20]),  # b repeats
        ((0.5, 0.5), (100, 30), [100, 100]),
        ((0.2, 0.8), (100, 50), [100, 400]),  # a is the largest for its share
    ],
)
def test_with_shares_the_largest_source_for_its_share_passes_once(
    shares: tuple[float, float], rows: tuple[int, int], expected: list[int]
) -> None:
    found = epoch_rows(dataset(a={"share": shares[0]}, b={"share": shares[1]}), rows)
    assert found == expected
    assert [count / sum(found) for count in found] == pytest.approx(shares)


def test_a_share_of_a_source_without_rows_names_it() -> None:
    with pytest.raises(TrainerError, match=r'no training row is left of sources\[0\] "b"') as raised:
        epoch_rows(dataset(a={"share": 0.5}, b={"share": 0.5}), [10, 0])
    assert raised.value.exit_code is ExitCode.BAD_DATA
    assert raised.value.param == "spec.dataset.sources[0].share"


def test_an_epoch_that_would_be_too_long_is_refused() -> None:
    with pytest.raises(TrainerError, match="50,000,000 are the most") as raised:
        epoch_rows(dataset(a={"share": 0.001}, b={"share": 0.999}), [100_000, 10])
    assert raised.value.exit_code is ExitCode.BAD_CONFIG


MIXTURE = Mixture(np.array([0, 0, 0, 1, 1, 1, 1]), (3, 10))


def test_each_row_comes_as_often_as_the_others_of_its_source_or_once_more() -> None:
    for epoch in range(5):
        times = Counter(MIXTURE.rows(1, epoch).tolist())
        assert [times[row] for row in range(3)] == [1, 1, 1]
        assert sorted(times[row] for row in range(3, 7)) == [2, 2, 3, 3]


def test_which_rows_come_once_more_follows_from_seed_and_epoch() -> None:
    def chosen(seed: int, epoch: int) -> list[int]:
        return MIXTURE.rows(seed, epoch).tolist()

    assert chosen(1, 0) == chosen(1, 0)
    assert len({tuple(chosen(1, epoch)) for epoch in range(20)}) > 1
    assert len({tuple(chosen(seed, 0)) for seed in range(20)}) > 1


def test_several_processes_deal_out_what_one_would_train_on() -> None:
    def batches(size: int, rank: int, micro: int) -> list[list[int]]:
        place = Place(rank, size, rank, size)
        sampler = EffectiveBatches(
            7, effective_batch_size=4, micro_batch_size=micro, seed=5, place=place, mixture=MIXTURE
        )
        sampler.set_epoch(2)
        assert len(list(sampler)) == len(sampler)
        return list(sampler)

    alone = [sorted(batch) for batch in batches(1, 0, 4)]
    together = [sorted(a + b) for a, b in zip(batches(2, 0, 2), batches(2, 1, 2), strict=True)]
    assert sum(len(batch) for batch in alone) == 13
    assert together == alone
