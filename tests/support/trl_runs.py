"""Short runs of our trainer and of TRL's: the same rows in the same order, from the same adapter, by one schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lora_contract.finetune import LoraSpec, TrainingSpec
from lora_trainer.batches.prepared_rows import EffectiveBatches, Rows
from lora_trainer.model.adapter import attach
from lora_trainer.model.forward import choose
from lora_trainer.model.hardware import Hardware
from lora_trainer.objective import Objective
from lora_trainer.planning.micro_batch import MemoryPlan
from lora_trainer.processes.group import Group
from lora_trainer.train.arguments import training_arguments
from lora_trainer.train.schedule import scheduler
from lora_trainer.train.trainer import LoraTrainer
from support.tiny_models import tiny

BATCH = 8
_MICRO, _WARMUP_STEPS = 4, 3


def training(steps: int) -> TrainingSpec:
    """What both are told."""
    return TrainingSpec(
        max_steps=steps,
        effective_batch_size=BATCH,
        learning_rate=0.01,
        warmup_ratio=_WARMUP_STEPS / steps,
        max_length=64,
        seed=5,
    )


def adapted(family: str) -> Any:
    """A tiny model with an adapter on it, in float32."""
    base = tiny(family)
    base.requires_grad_(False)
    torch.manual_seed(1)
    return attach(base, LoraSpec(r=4, alpha=8, dropout=0)).model


def ours(
    model: Any, objective: Objective, rows: Rows, folder: Path, *, steps: int, validation_rows: Rows | None = None
) -> LoraTrainer:
    """Our trainer on all rows, by the padding-free forward pass."""
    forward_pass, _ = choose(model, [rows[0], rows[1]], pad_token_id=0, autocast=None)
    assert forward_pass.padding_free
    told = training(steps)
    arguments = training_arguments(
        told,
        total_steps=steps,
        memory=MemoryPlan(_MICRO, False),
        hardware=Hardware(torch.device("cpu"), torch.float32),
        evaluate=False,
        folder=folder / "ours",
    )
    return LoraTrainer(
        model=model,
        args=arguments,
        objective=objective,
        forward_pass=forward_pass,
        train_rows=rows,
        validation_rows=validation_rows,
        effective_batch_size=BATCH,
        schedule=told.schedule,
        callbacks=[],
        alive=lambda: None,
        group=Group(),
    )


def our_order(rows: int, *, steps: int) -> list[int]:
    """The numbers of the rows as our trainer takes them."""
    batches = EffectiveBatches(rows, effective_batch_size=BATCH, micro_batch_size=BATCH, seed=training(steps).seed)
    return [int(index) for index in np.concatenate(list(batches))]


def trl_arguments(folder: Path, *, steps: int) -> dict[str, Any]:
    """What any of TRL's trainers is told, to do as ours does."""
    told = training(steps)
    return {
        "output_dir": str(folder / "trl"),
        "max_steps": steps,
        "per_device_train_batch_size": _MICRO,
        "gradient_accumulation_steps": BATCH // _MICRO,
        "learning_rate": told.learning_rate,
        "weight_decay": told.weight_decay,
        "max_grad_norm": told.max_grad_norm,
        "train_sampling_strategy": "sequential",
        "gradient_checkpointing": False,
        "use_cpu": True,
        "bf16": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "max_length": None,
        "disable_tqdm": True,
    }


def by_our_schedule(trainer: Any, *, steps: int) -> Any:
    """A trainer of TRL with our schedule: its own warm-up begins with a step at rate 0."""
    trainer.create_optimizer()
    trainer.lr_scheduler = scheduler(
        trainer.optimizer, schedule="cosine", warmup_steps=_WARMUP_STEPS, total_steps=steps
    )
    return trainer


def losses(trainer: Any) -> list[float]:
    """Train, and list the loss of each step."""
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
