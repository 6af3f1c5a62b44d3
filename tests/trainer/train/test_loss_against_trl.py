"""Trained on the same rows in the same order from the same adapter, our losses are those of TRL's SFTTrainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from lora_trainer.batches.batch import IGNORED
from lora_trainer.batches.prepared_rows import Rows
from lora_trainer.data.prepared import ROW_SCHEMA
from lora_trainer.model.difference import relative_difference
from lora_trainer.objective.supervised import SupervisedFineTuning
from support.tiny_models import byte_tokenizer, ragged_rows, without_ours
from support.trl_runs import BATCH, adapted, by_our_schedule, losses, our_order, ours, trl_arguments

STEPS = 12


def rows_file(folder: Path) -> Path:
    # Few different tokens, so that there is something to learn.
    rows = [
        {"input_ids": (3 + row.input_ids % 5).tolist(), "targets": row.targets.tolist(), "length": len(row)}
        for row in ragged_rows(STEPS * BATCH, longest=60)
    ]
    path = folder / "train.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), path)
    return path


def trl(model: Any, rows: Rows, folder: Path) -> Any:
    data = [
        {"input_ids": row.input_ids.tolist(), "labels": np.where(row.targets, row.input_ids, IGNORED).tolist()}
        for row in (rows[index] for index in our_order(len(rows), steps=STEPS))
    ]
    arguments = SFTConfig(**trl_arguments(folder, steps=STEPS))
    trainer = SFTTrainer(model, arguments, train_dataset=Dataset.from_list(data), processing_class=byte_tokenizer())
    return by_our_schedule(trainer, steps=STEPS)


@pytest.mark.parametrize("family", ["llama-tied", "qwen3", "phi3"])
def test_each_steps_loss_is_that_of_trl_unpacked(family: str, tmp_path: Path) -> None:
    # One adapter, twice, and rows of very different length
    rows, model = Rows(rows_file(tmp_path)), adapted(family)
    twin = without_ours(model)
    # Both train on all rows once
    found = losses(ours(model, SupervisedFineTuning(), rows, tmp_path, steps=STEPS))
    expected = losses(trl(twin, rows, tmp_path))
    # The losses fall, and are the same at each step, and so are the adapters
    assert len(found) == len(expected) == STEPS
    assert expected[-1] < 0.9 * expected[0]
    assert found == pytest.approx(expected, rel=5e-3)
    weights = dict(twin.named_parameters())
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert relative_difference(weight, weights[name]) < 0.02, name
