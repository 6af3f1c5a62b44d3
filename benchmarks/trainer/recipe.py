"""The well-known recipe: transformers' Trainer, rows padded to the maximum, labels equal to the ids.

Changed is only what current libraries refuse: `evaluation_strategy`, `report_to`, `tokenizer=`, `load_in_4bit=` and the
like, and fp16, which no CPU trains in, became bf16. Dropout is 0 as everywhere in this comparison.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Trainer, TrainingArguments

from benchmarks.trainer.meter import Meter
from benchmarks.trainer.setting import LEARNING_RATE, MAX_LENGTH, MODULES, Setting
from lora_trainer.batches.batch import Row

_BATCH_PER_DEVICE = 4


def four_bit_base(setting: Setting) -> Any:
    """The model as bitsandbytes quantises it, computing in bfloat16."""
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return AutoModelForCausalLM.from_pretrained(
        setting.model,
        dtype=torch.bfloat16,
        quantization_config=quantization,
        local_files_only=True,
        device_map={"": 0} if setting.on_gpu else None,
    )


def lora_config(setting: Setting) -> LoraConfig:
    """The same adapter for everybody."""
    lora = setting.order.spec.lora
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM, r=lora.r, lora_alpha=lora.alpha, lora_dropout=0.0, target_modules=MODULES
    )


def run(setting: Setting, rows: list[Row], meter: Meter) -> Any:
    """Train on all rows once; the trained model."""
    model = prepare_model_for_kbit_training(
        four_bit_base(setting), use_gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False}
    )
    model.config.use_cache = False
    model = get_peft_model(model, lora_config(setting))
    meter.watch(model)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(setting.folder / "recipe"),
            max_steps=len(rows) // setting.batch,
            per_device_train_batch_size=_BATCH_PER_DEVICE,
            gradient_accumulation_steps=setting.batch // _BATCH_PER_DEVICE,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            weight_decay=0.01,
            gradient_checkpointing=True,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            bf16=True,
            **common_arguments(setting),
        ),
        train_dataset=[_padded(row, model.config.pad_token_id or 0) for row in rows],
        callbacks=[meter],
    )
    trainer.train()
    return model


def common_arguments(setting: Setting) -> dict[str, Any]:
    """What the comparison itself needs: one device, the rows in one order, no files."""
    return {
        "use_cpu": not setting.on_gpu,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
    }


def _padded(row: Row, pad: int) -> dict[str, Any]:
    ids = torch.full((MAX_LENGTH,), pad, dtype=torch.long)
    ids[: len(row)] = torch.from_numpy(row.input_ids)
    mask = (torch.arange(MAX_LENGTH) < len(row)).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.clone()}
