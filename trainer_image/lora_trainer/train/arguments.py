"""From the spec to transformers' TrainingArguments."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from transformers import TrainingArguments

from lora_contract.finetune import TrainingSpec
from lora_trainer.model.hardware import Hardware
from lora_trainer.planning.micro_batch import MemoryPlan

#: Most lines of the training history: longer runs log every n-th step.
_MAX_LOGGED_STEPS = 2000


def training_arguments(
    training: TrainingSpec,
    *,
    total_steps: int,
    memory: MemoryPlan,
    hardware: Hardware,
    evaluate: bool,
    folder: Path,
    processes: int = 1,
) -> TrainingArguments:
    """Make the arguments of one of the `processes` of a run, whose checkpoints a callback takes from `folder`."""
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=total_steps,
        per_device_train_batch_size=memory.micro_batch_size,
        gradient_accumulation_steps=training.effective_batch_size // (memory.micro_batch_size * processes),
        learning_rate=training.learning_rate,
        warmup_steps=math.ceil(training.warmup_ratio * total_steps),
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim="adamw_torch_fused" if hardware.is_cuda else "adamw_torch",
        bf16=hardware.is_cuda and hardware.dtype == torch.bfloat16,
        fp16=hardware.is_cuda and hardware.dtype == torch.float16,
        use_cpu=not hardware.is_cuda,
        activation_checkpointing=memory.activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if memory.activation_checkpointing else None,
        eval_strategy="steps" if evaluate else "no",
        eval_steps=training.eval_steps,
        save_strategy="steps",
        save_steps=training.save_steps,
        logging_strategy="steps",
        logging_steps=max(1, total_steps // _MAX_LOGGED_STEPS),
        logging_nan_inf_filter=False,
        seed=training.seed,
        data_seed=training.seed,
        dataloader_pin_memory=hardware.is_cuda,
        remove_unused_columns=False,
        average_tokens_across_devices=False,
        disable_tqdm=True,
        report_to="none",
        log_level="warning",
    )
    # transformers adds its callback for Kubeflow where it finds the variables that our own reports use.
    arguments.report_to = []
    # transformers would use every GPU it sees in one process; ours has one, and others have their own processes.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments
