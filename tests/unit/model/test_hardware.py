"""What a process computes on."""

from __future__ import annotations

import pytest
import torch

from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import QuantizationSpec
from lora_contract.names import ENV_CPU_FLOAT32
from lora_trainer.errors import TrainerError
from lora_trainer.model.hardware import detect
from lora_trainer.model.load import load_options
from lora_trainer.processes.rank import Place


def test_float32_can_be_asked_for_on_every_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert detect(0).dtype is torch.bfloat16
    monkeypatch.setenv(ENV_CPU_FLOAT32, "1")
    assert detect(0).dtype is torch.float32


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    # Two processes in a pod with two GPUs: each loads the model on its own
    hardware = [detect(2, Place(rank, 2, rank, 2)) for rank in range(2)]
    assert [load_options(QuantizationSpec(), each, expanded=False)["device_map"][""] for each in hardware] == [0, 1]
    # A third one is refused
    with pytest.raises(TrainerError, match="CUDA finds 2") as failure:
        detect(3, Place(2, 3, 2, 3))
    assert failure.value.exit_code == ExitCode.UNSUPPORTED
