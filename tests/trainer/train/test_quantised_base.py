"""A base whose files hold 4-bit codes of bitsandbytes gives the adapter that its original gives in 4 bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import ADAPTER_WEIGHTS
from support.local_runs import local_run


def _quantise(model: Path) -> None:
    """Replace a saved model by what bitsandbytes and transformers write of it, its tokenizer aside."""
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float16,
    )
    loaded = AutoModelForCausalLM.from_pretrained(model, quantization_config=settings, dtype=torch.float32)
    (model / "model.safetensors").unlink()
    loaded.save_pretrained(model)


@pytest.mark.slow
def test_the_adapter_equals_that_of_a_run_that_quantises_itself(tmp_path: Path) -> None:
    adapters = {}
    for name in ("quantises", "quantised"):
        run = local_run(tmp_path / name, gpus=0, quantization__type="nf4")
        if name == "quantised":
            _quantise(run.folder / "model")
        ended = run.run_forked()
        assert ended.code == ExitCode.DONE, ended.output
        adapters[name] = load_file(run.published / ADAPTER_WEIGHTS)

    assert "model.layers.0.self_attn.q_proj.weight.absmax" in load_file(tmp_path / "quantised/model/model.safetensors")
    assert adapters["quantised"].keys() == adapters["quantises"].keys()
    assert any(tensor.abs().max() > 0 for name, tensor in adapters["quantised"].items() if "lora_B" in name)
    for name, tensor in adapters["quantised"].items():
        assert torch.equal(tensor, adapters["quantises"][name]), name
