"""Evaluations during training take a bounded share of the time, on the same rows each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lora_contract.finetune import LoRAFineTuneSpec, TrainingSpec
from lora_contract.order import TrainOrder
from lora_contract.status import PlanStatus
from lora_trainer.batches.prepared_rows import Rows
from lora_trainer.data import prepared
from lora_trainer.objective.supervised import SupervisedFineTuning
from lora_trainer.planning.evaluation_rows import LEAST_ROWS, chosen, evaluation_rows
from lora_trainer.train.inputs import _affordable
from support.specs import BASE


@pytest.mark.parametrize(
    ("batch", "steps", "rows", "expected"),
    [(32, 10, 5000, 64), (32, 10, 40, 40), (32, 100, 5000, 640), (1, 1, 5000, LEAST_ROWS), (1, 1, 3, 3), (8, 5, 0, 0)],
)
def test_rows_of_an_evaluation(batch: int, steps: int, rows: int, expected: int) -> None:
    training = TrainingSpec(max_steps=10, effective_batch_size=batch, eval_steps=steps)
    assert evaluation_rows(training, rows) == expected


def test_the_same_rows_are_chosen_every_time_and_they_come_from_everywhere() -> None:
    rows = chosen(64, 5000, 42)
    assert rows == chosen(64, 5000, 42) == sorted(set(rows))
    assert len(rows) == 64
    assert rows != chosen(64, 5000, 43)
    assert rows[0] < 500
    assert rows[-1] > 4500


def order(evaluation: int | None) -> TrainOrder:
    plan = PlanStatus(rows=10, tokens=10, total_steps=1, evaluation_rows=evaluation)
    spec = LoRAFineTuneSpec.model_validate(BASE)
    return TrainOrder(
        stage="train", run_id="r", namespace="n", name="n", uid="u", spec=spec, plan=plan, scratch="/tmp/unused"
    )


def validation_file(folder: Path, count: int) -> Path:
    rows: list[dict[str, Any]] = [
        {"input_ids": [number] * (number + 2), "targets": [False] + [True] * (number + 1), "length": number + 2}
        for number in range(count)
    ]
    path = folder / prepared.VALIDATION
    pq.write_table(pa.Table.from_pylist(rows, schema=prepared.ROW_SCHEMA), path)
    return path


def test_train_takes_the_rows_that_the_plan_says(tmp_path: Path) -> None:
    path = validation_file(tmp_path, 30)
    rows = _affordable(SupervisedFineTuning(), Rows(path), path, order(10))
    numbers = [int(rows[index].input_ids[0]) for index in range(len(rows))]
    assert numbers == chosen(10, 30, 42)
    assert rows.lengths.tolist() == [number + 2 for number in numbers]
    assert np.array_equal(rows[3].targets, [False] + [True] * (numbers[3] + 1))


@pytest.mark.parametrize("planned", [None, 30, 40])
def test_all_rows_are_taken_where_the_plan_bounds_nothing(planned: int | None, tmp_path: Path) -> None:
    path = validation_file(tmp_path, 30)
    assert len(_affordable(SupervisedFineTuning(), Rows(path), path, order(planned))) == 30
