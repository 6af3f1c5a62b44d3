"""TRL's SFTTrainer in its settings that need no further kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from benchmarks.trainer.meter import Meter
from benchmarks.trainer.recipe import common_arguments, four_bit_base, lora_config
from benchmarks.trainer.setting import LEARNING_RATE, MAX_LENGTH, Setting
from lora_trainer.batches.batch import IGNORED, Row


@dataclass(frozen=True)
class Way:
    """One setting of SFTTrainer."""

    #: Rows, or blocks of packed rows, a forward pass at most.
    per_pass: int
    options: dict[str, Any]


#: Without gradient checkpointing, TRL's default, which only costs time here. The model is in bfloat16 in all of them;
#: the option of that name adds autocast, TRL's default as well, which costs time too.
WAYS = {
    "trl-unpacked": Way(8, {"bf16": False}),
    "trl-packed": Way(8, {"bf16": False, "packing": True}),
    "trl-unpacked-autocast": Way(8, {"bf16": True}),
    "trl-packed-autocast": Way(8, {"bf16": True, "packing": True}),
    "trl-padding-free": Way(8, {"bf16": True, "padding_free": True, "max_length": None}),
    "trl-grouped": Way(2, {"bf16": True, "train_sampling_strategy": "batch_rebalance"}),
}


def run(setting: Setting, rows: list[Row], meter: Meter, name: str) -> Any:
    """Train on all rows once; the trained model."""
    forward_pass = WAYS[name]
    per_step, limit = setting.batch, forward_pass.per_pass
    if forward_pass.options.get("packing"):
        # A step of packed blocks holds about as many rows as a step of all others.
        per_step = max(1, round(sum(len(row) for row in rows) / MAX_LENGTH / (len(rows) / setting.batch)))
        # On a CPU more than one block a pass gains nothing.
        limit = limit if setting.on_gpu else 1
    passes = math.ceil(per_step / limit)
    model = four_bit_base(setting)
    options = {"max_length": MAX_LENGTH, **common_arguments(setting), **forward_pass.options}
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(setting.folder / name),
            num_train_epochs=1,
            per_device_train_batch_size=round(per_step / passes),
            gradient_accumulation_steps=passes,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            weight_decay=0.01,
            gradient_checkpointing=False,
            **options,
        ),
        train_dataset=Dataset.from_list([_labelled(row) for row in rows]),
        peft_config=lora_config(setting),
        callbacks=[meter],
    )
    meter.watch(trainer.model)
    trainer.train()
    return trainer.model


def _labelled(row: Row) -> dict[str, Any]:
    return {
        "input_ids": row.input_ids.tolist(),
        "labels": np.where(row.targets, row.input_ids, IGNORED).tolist(),
    }
