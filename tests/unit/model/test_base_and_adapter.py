"""The quantised base, the adapter on it, and the choice of the best one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen2MoeConfig

from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import LoraSpec, QuantizationSpec
from lora_trainer.errors import TrainerError
from lora_trainer.model import load
from lora_trainer.model.adapter import attach
from lora_trainer.model.forward import choose
from lora_trainer.model.hardware import Hardware
from support.tiny_models import ragged_rows, save_tiny, tiny

CPU = Hardware(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # bitsandbytes codes blocks of 64 weights
    return save_tiny(tmp_path_factory.mktemp("model"), "llama")


def lora_gradients(model: Any, rows: list[Any]) -> dict[str, torch.Tensor]:
    model.zero_grad()
    forward_pass, _ = choose(model, rows, pad_token_id=0, autocast=None)
    forward_pass.loss_sum(model, forward_pass.collate(rows)).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("double", [True, False])
def test_expanded_weights_are_exactly_the_coded_ones(
    kind: Any, double: bool, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same model held as 4-bit codes and expanded to float32
    spec = QuantizationSpec(type=kind, double_quant=double)
    expanded = load.load_base(model_path, spec, CPU)
    monkeypatch.setattr(load, "_fits_expanded", lambda path, hardware, *, already: False)
    coded = load.load_base(model_path, spec, CPU)
    # Every weight stands for the same value, and the head is not touched
    layers = dict(coded.named_modules())
    count = 0
    for name, layer in load.quantizable(expanded):
        held = layers[name]
        assert isinstance(held, bitsandbytes.nn.Linear4bit)
        value = bitsandbytes.functional.dequantize_4bit(held.weight.data, held.weight.quant_state)
        torch.testing.assert_close(layer.weight.data, value.float(), rtol=0, atol=0)
        count += 1
    assert count == 14
    assert not isinstance(coded.lm_head, bitsandbytes.nn.Linear4bit)
    torch.testing.assert_close(expanded.lm_head.weight, coded.lm_head.weight, rtol=0, atol=0)


def test_coded_weights_on_the_cpu_give_right_gradients_also_after_an_evaluation(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The adapter's gradients on expanded weights
    rows = ragged_rows()
    spec, lora = QuantizationSpec(), LoraSpec(r=4, dropout=0)
    torch.manual_seed(0)
    expected = lora_gradients(attach(load.load_base(model_path, spec, CPU), lora).model, rows)
    # The weights are held as codes, and were evaluated before
    monkeypatch.setattr(load, "_fits_expanded", lambda path, hardware, *, already: False)
    torch.manual_seed(0)
    model = attach(load.load_base(model_path, spec, CPU), lora).model
    model.eval()(input_ids=torch.tensor([[5, 6, 7]]))
    found = lora_gradients(model.train(), rows)
    # They are the same
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max() <= 1e-4 * gradient.abs().max().clamp_min(1e-6), name


def test_all_linear_is_written_out_and_leaves_the_head_alone() -> None:
    adapted = attach(tiny("phi3"), LoraSpec())
    assert adapted.target_modules == ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]
    assert not any("lm_head" in name for name, p in adapted.model.named_parameters() if p.requires_grad)
    assert adapted.layers == 8


def test_a_name_that_matches_nothing_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(TrainerError) as caught:
        attach(tiny("phi3"), LoraSpec(target_modules=["q_proj", "o_proj"]))
    assert caught.value.exit_code is ExitCode.BAD_CONFIG
    assert "'q_proj'" in caught.value.message
    assert "qkv_proj" in (caught.value.hint or "")


def mixture() -> PreTrainedModel:
    config = Qwen2MoeConfig(
        vocab_size=128,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_experts=4,
        num_key_value_heads=2,
        intermediate_size=64,
        moe_intermediate_size=16,
        num_experts_per_tok=2,
        shared_expert_intermediate_size=16,
        decoder_sparse_step=1,
    )
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def test_the_experts_of_a_mixture_get_no_adapter_so_any_dropout_can_be_set() -> None:
    adapted = attach(mixture(), LoraSpec(dropout=0.1))

    assert adapted.target_modules == ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert adapted.layers == 4
    assert not adapted.model.peft_config["default"].target_parameters
    with pytest.raises(TrainerError, match="no linear layer named 'gate_proj'"):
        attach(mixture(), LoraSpec(target_modules=["gate_proj"]))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda tensors: tensors.pop("lm_head.weight"), "are missing in its files: lm_head.weight"),
        (
            lambda tensors: tensors.update({"model.layers.0.mlp.up_proj.weight": torch.zeros(3, 64)}),
            "model.layers.0.mlp.up_proj.weight",
        ),
    ],
)
def test_weights_that_do_not_fill_the_model_are_refused_not_made_up(
    spoil: Callable[[dict[str, torch.Tensor]], object], words: str, model_path: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_path, tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    spoil(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(TrainerError) as raised:
        load.load_base(folder, QuantizationSpec(type="none"), CPU)

    assert raised.value.exit_code is ExitCode.UNSUPPORTED
    assert words in raised.value.message


def test_only_the_adapter_is_trained() -> None:
    model = attach(tiny("llama"), LoraSpec(target_modules=["q_proj"])).model
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name and "q_proj" in name for name in trained)
