"""Trained on the same rows in the same order from the same adapter, our losses are those of TRL's SFTTrainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from lora_contract.finetune import LoraSpec, TrainingSpec
from lora_trainer.batches.batch import IGNORED
from lora_trainer.batches.prepared_rows import EffectiveBatches, Rows
from lora_trainer.data.prepared import ROW_SCHEMA
from lora_trainer.model.adapter import attach
from lora_trainer.model.difference import relative_difference
from lora_trainer.model.forward import choose
from lora_trainer.model.hardware import Hardware
from lora_trainer.objective.supervised import SupervisedFineTuning
from lora_trainer.planning.micro_batch import MemoryPlan
from lora_trainer.processes.group import Group
from lora_trainer.train.arguments import training_arguments
from lora_trainer.train.schedule import scheduler
from lora_trainer.train.trainer import LoraTrainer
from support.tiny_models import byte_tokenizer, ragged_rows, tiny, without_ours

STEPS, BATCH, MICRO = 12, 8, 4
TRAINING = TrainingSpec(
    max_steps=STEPS, effective_batch_size=BATCH, learning_rate=0.01, warmup_ratio=0.25, max_length=64, seed=5
)


def rows_file(folder: Path) -> Path:
    # Few different tokens, so that there is something to learn.
    rows = [
        {"input_ids": (3 + row.input_ids % 5).tolist(), "targets": row.targets.tolist(), "length": len(row)}
        for row in ragged_rows(STEPS * BATCH, longest=60)
    ]
    path = folder / "train.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), path)
    return path


def adapted(family: str) -> Any:
    base = tiny(family)
    base.requires_grad_(False)
    torch.manual_seed(1)
    return attach(base, LoraSpec(r=4, alpha=8, dropout=0)).model


def losses(trainer: Any) -> list[float]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def ours(model: Any, rows: Rows, folder: Path) -> list[float]:
    forward_pass, _ = choose(model, [rows[0], rows[1]], pad_token_id=0, autocast=None)
    assert forward_pass.padding_free
    hardware = Hardware(torch.device("cpu"), torch.float32)
    arguments = training_arguments(
        TRAINING,
        total_steps=STEPS,
        memory=MemoryPlan(MICRO, False),
        hardware=hardware,
        evaluate=False,
        folder=folder / "ours",
    )
    trainer = LoraTrainer(
        model=model,
        args=arguments,
        objective=SupervisedFineTuning(),
        forward_pass=forward_pass,
        train_rows=rows,
        validation_rows=None,
        effective_batch_size=BATCH,
        schedule=TRAINING.schedule,
        callbacks=[],
        alive=lambda: None,
        group=Group(),
    )
    return losses(trainer)


def trl(model: Any, rows: Rows, folder: Path) -> list[float]:
    batches = EffectiveBatches(len(rows), effective_batch_size=BATCH, micro_batch_size=BATCH, seed=TRAINING.seed)
    order = [rows[int(index)] for index in np.concatenate(list(batches))]
    data = [
        {"input_ids": row.input_ids.tolist(), "labels": np.where(row.targets, row.input_ids, IGNORED).tolist()}
        for row in order
    ]
    arguments = SFTConfig(
        str(folder / "trl"),
        max_steps=STEPS,
        per_device_train_batch_size=MICRO,
        gradient_accumulation_steps=BATCH // MICRO,
        learning_rate=TRAINING.learning_rate,
        weight_decay=TRAINING.weight_decay,
        max_grad_norm=TRAINING.max_grad_norm,
        train_sampling_strategy="sequential",
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        max_length=None,
        disable_tqdm=True,
    )
    trainer = SFTTrainer(model, arguments, train_dataset=Dataset.from_list(data), processing_class=byte_tokenizer())
    # TRL's own warm-up begins with a step at rate 0.
    trainer.create_optimizer()
    trainer.lr_scheduler = scheduler(trainer.optimizer, schedule="cosine", warmup_steps=3, total_steps=STEPS)
    return losses(trainer)


@pytest.mark.parametrize("family", ["llama-tied", "qwen3", "phi3"])
def test_each_steps_loss_is_that_of_trl_unpacked(family: str, tmp_path: Path) -> None:
    # One adapter, twice, and rows of very different length
    rows, model = Rows(rows_file(tmp_path)), adapted(family)
    twin = without_ours(model)
    # Both train on all rows once
    found, expected = ours(model, rows, tmp_path), trl(twin, rows, tmp_path)
    # The losses fall, and are the same at each step, and so are the adapters
    assert len(found) == len(expected) == STEPS
    assert expected[-1] < 0.9 * expected[0]
    assert found == pytest.approx(expected, rel=5e-3)
    weights = dict(twin.named_parameters())
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert relative_difference(weight, weights[name]) < 0.02, name
