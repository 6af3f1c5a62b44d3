"""What was written is proven to be what was trained, in every number format, before anybody can see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_contract.finetune import LoraSpec, QuantizationSpec
from lora_contract.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from lora_trainer.errors import TrainerError
from lora_trainer.model import load
from lora_trainer.model.adapter import attach
from lora_trainer.model.forward import choose
from lora_trainer.model.hardware import Hardware
from lora_trainer.train import reload
from support.tiny_models import ragged_rows, save_tiny

FORMATS = (torch.float32, torch.bfloat16)
NF4 = QuantizationSpec()


@dataclass
class Written:
    """An adapter in a folder, and what its trained model answered."""

    folder: Path
    model: Path
    hardware: Hardware
    forward_pass: Any
    probe: reload.Probe

    def verify(self) -> None:
        reload.verify(
            self.folder, self.model, NF4, forward_pass=self.forward_pass, hardware=self.hardware, probe=self.probe
        )

    def change(self, name: str, by: float) -> None:
        tensors = load_file(self.folder / ADAPTER_WEIGHTS)
        save_file(tensors | {name: tensors[name] * by}, self.folder / ADAPTER_WEIGHTS)

    def drop(self, name: str) -> None:
        tensors = load_file(self.folder / ADAPTER_WEIGHTS)
        del tensors[name]
        save_file(tensors, self.folder / ADAPTER_WEIGHTS)


@pytest.fixture(params=FORMATS, ids=str)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Written:
    """A weak adapter, whose effect a careless comparison would take for rounding."""
    hardware = Hardware(torch.device("cpu"), request.param)
    path = save_tiny(tmp_path / "model")
    model = attach(load.load_base(path, NF4, hardware), LoraSpec(r=4, alpha=8, dropout=0)).model
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=1e-3, generator=generator)
        if "lora_" in name:
            weight.data.copy_(weight.data.bfloat16())
    rows = ragged_rows()
    forward_pass, _ = choose(model, rows, pad_token_id=0, autocast=None)
    model.save_pretrained(str(tmp_path / "adapter"))
    return Written(tmp_path / "adapter", path, hardware, forward_pass, reload.probe_of(model, forward_pass, rows[:2]))


def some_tensor(written: Written) -> str:
    return next(name for name in written.probe.tensors if "lora_B" in name)


def test_what_was_written_well_answers_exactly_alike(written: Written, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    written.verify()
    assert "difference 0.0e+00" in caplog.text


def test_a_changed_tensor_is_named(written: Written) -> None:
    written.change(some_tensor(written), 1.01)
    with pytest.raises(TrainerError, match=some_tensor(written)):
        written.verify()


def test_a_missing_tensor_is_noticed_though_peft_only_warns(written: Written) -> None:
    written.drop(some_tensor(written))
    with pytest.raises(TrainerError, match="does not answer like the trained one"):
        written.verify()


def test_another_scaling_is_noticed_though_all_tensors_are_equal(written: Written) -> None:
    # A configuration that was written with another alpha
    config = written.folder / ADAPTER_CONFIG
    config.write_text(config.read_text().replace('"lora_alpha": 8', '"lora_alpha": 80'))
    with pytest.raises(TrainerError, match="its logits differ"):
        written.verify()
