"""A base whose files hold 4-bit codes of bitsandbytes is the base that its original becomes when it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from lora_contract.finetune import LoraSpec, QuantizationSpec
from lora_trainer.model import load
from lora_trainer.model.adapter import attach
from lora_trainer.model.forward import choose
from lora_trainer.model.hardware import Hardware
from support.tiny_models import ragged_rows, save_tiny

CPU = Hardware(torch.device("cpu"), torch.float32)


@pytest.fixture(params=[("nf4", True), ("nf4", False), ("fp4", True)], scope="module")
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, QuantizationSpec]:
    """A model, the same in 4 bits as transformers saves it, and the quantisation of that."""
    kind, double = request.param
    original, quantised = save_tiny(tmp_path_factory.mktemp("model"), "llama"), tmp_path_factory.mktemp("quantised")
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=torch.float16,
    )
    loaded = AutoModelForCausalLM.from_pretrained(original, quantization_config=settings, dtype=torch.float32)
    loaded.save_pretrained(quantised)
    return original, quantised, QuantizationSpec(type=kind, double_quant=double)


def _gradients(path: Path, spec: QuantizationSpec) -> tuple[Any, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = attach(load.load_base(path, spec, CPU), LoraSpec(r=4, dropout=0)).model
    rows = ragged_rows()
    forward_pass, _ = choose(model, rows, pad_token_id=0, autocast=None)
    forward_pass.loss_sum(model, forward_pass.collate(rows)).backward()
    return model, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("expanded", [True, False])
def test_gradients_of_the_adapter_are_those_on_a_base_that_is_quantised_while_it_is_loaded(
    saved: tuple[Path, Path, QuantizationSpec], expanded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, quantised, spec = saved
    monkeypatch.setattr(load, "_fits_expanded", lambda path, hardware, *, already: expanded)
    _, expected = _gradients(original, spec)

    model, found = _gradients(quantised, spec)

    coded = [module for module in model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    assert len(coded) == (0 if expanded else 14)
    assert {module.compute_dtype for module in coded} <= {CPU.dtype}
    assert not any(p.requires_grad for name, p in model.named_parameters() if "lora_" not in name)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.equal(found[name], gradient), name
