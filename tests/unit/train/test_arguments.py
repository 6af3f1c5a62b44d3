"""What transformers' Trainer is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lora_contract.finetune import TrainingSpec
from lora_contract.names import ENV_ALLOW_CPU, ENV_PROGRESS_CA, ENV_PROGRESS_TOKEN, ENV_PROGRESS_URL
from lora_trainer.model.hardware import Hardware, detect
from lora_trainer.planning.micro_batch import MemoryPlan
from lora_trainer.train.arguments import training_arguments

CPU = Hardware(torch.device("cpu"), torch.float32)


def arguments_for(hardware: Hardware, *, checkpointing: bool = False) -> Any:
    return training_arguments(
        TrainingSpec(max_steps=10),
        total_steps=10,
        memory=MemoryPlan(4, checkpointing),
        hardware=hardware,
        evaluate=True,
        folder=Path("/tmp/unused"),
    )


def test_the_callback_of_transformers_for_kubeflow_stays_out_of_our_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    # It answers to the same variables, and says 100 % at the end of a pod that was only stopped.
    for name in (ENV_PROGRESS_URL, ENV_PROGRESS_TOKEN, ENV_PROGRESS_CA):
        monkeypatch.setenv(name, "https://operator.example")
    assert arguments_for(Hardware(torch.device("cpu"), torch.float32)).report_to == []


@pytest.mark.parametrize(
    ("cuda", "bfloat16", "dtype"), [(False, False, torch.float32), (False, True, torch.bfloat16),
                                    (True, True, torch.bfloat16), (True, False, torch.float16)],
)  # fmt: skip
def test_the_number_format_follows_the_hardware(
    cuda: bool, bfloat16: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_ALLOW_CPU, "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": bfloat16})
    assert detect(1).dtype is dtype


def test_checkpointing_is_not_reentrant() -> None:
    arguments = arguments_for(CPU, checkpointing=True)
    assert arguments.activation_checkpointing
    assert arguments.activation_checkpointing_kwargs == {"use_reentrant": False}


def test_nothing_is_reported_to_third_parties() -> None:
    assert arguments_for(CPU).report_to == []
