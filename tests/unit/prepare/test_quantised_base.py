"""A base model that comes quantised: trained where bitsandbytes made it, else refused with what to use instead."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.prepare import quantised_base
from support.chat_models import CONFIG, tensor_shapes, write_safetensors
from support.prepare_orders import place

MODEL = "team/model-quantised"
NF4 = {
    "quant_method": "bitsandbytes",
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_quant_storage": "uint8",
}


def _refused(settings: object, **config: object) -> TrainerError:
    error = quantised_base.refusal({**config, "quantization_config": settings}, MODEL)
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"quant_method": "gptq", "bits": 4}, "in GPTQ:"),
        ({"quant_method": "awq", "bits": 4}, "in AWQ:"),
        ({"quant_method": "fp8", "fmt": "e4m3"}, "in FP8:"),
        ({"quant_method": "mxfp4"}, "in MXFP4:"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "in bitsandbytes:"),
        ({"load_in_4bit": True}, "in bitsandbytes:"),
        ({"quant_method": "compressed-tensors"}, "in compressed-tensors:"),
        ({"quant_method": "of-tomorrow"}, "in the quantisation 'of-tomorrow':"),
        ({"quant_method": ["gptq"]}, "in a quantisation that it does not name:"),
        ("gptq", "in a quantisation that it does not name:"),
    ],
)
def test_the_refusal_names_the_format(settings: object, name: str) -> None:
    error = _refused(settings)

    assert name in error.message
    assert error.exit_code is ExitCode.UNSUPPORTED
    assert error.param == "spec.model.id"


def test_the_model_that_it_was_made_from_is_named() -> None:
    assert "meta-llama/Llama-3.1-8B as its config.json says" in str(
        _refused({"quant_method": "awq"}, _name_or_path="meta-llama/Llama-3.1-8B").hint
    )


@pytest.mark.parametrize(
    "path", [MODEL, "/home/me/model", "./models/x", "../x", "a/b/c", "model", "", None, 7, "a/b\nc"]
)
def test_a_path_that_is_no_other_repository_is_not_named(path: object) -> None:
    hint = str(_refused({"quant_method": "awq"}, _name_or_path=path).hint)

    assert "base_model in its card on the Hub" in hint
    assert "as its config.json says" not in hint


@pytest.mark.parametrize(
    ("method", "converter"), [("fp8", "FineGrainedFP8Config"), ("mxfp4", "Mxfp4Config"), ("gptq", None)]
)
def test_formats_that_transformers_can_convert_alone_get_the_call(method: str, converter: str | None) -> None:
    hint = str(_refused({"quant_method": method}).hint)

    assert ("dequantize=True" in hint) == (converter is not None)
    assert converter is None or f"quantization_config={converter}(dequantize=True)" in hint


def test_prepare_refuses_a_quantised_base_before_a_gpu_is_asked_for(tmp_path: Path) -> None:
    run = place(tmp_path)
    quantised = {**CONFIG, "_name_or_path": "team/original", "quantization_config": {"quant_method": "gptq"}}
    (tmp_path / "model" / "config.json").write_text(json.dumps(quantised))

    with pytest.raises(TrainerError) as raised:
        run.prepare()

    assert "are quantised already, in GPTQ" in raised.value.message
    assert "team/original" in str(raised.value.hint)


def test_weights_that_are_not_quantised_are_not_refused() -> None:
    assert quantised_base.refusal({}, MODEL) is None
    assert quantised_base.refusal({"quantization_config": None}, MODEL) is None


def _save_in_four_bits(model: Path, *, left_out: str = "", codes: int = 0, **settings: Any) -> None:
    """Write the files as bitsandbytes names them; `left_out` stays in 16 bits, `codes` are added to each layer."""
    (model / "config.json").write_text(json.dumps({**CONFIG, "quantization_config": {**NF4, **settings}}))
    shapes: dict[str, tuple[int, ...]] = {}
    as_bytes = set()
    for name, shape in tensor_shapes().items():
        if "_proj" not in name or name == left_out:
            shapes[name] = shape
            continue
        shapes |= {name: (prod(shape) // 2 + codes, 1), f"{name}.absmax": (prod(shape) // 64,)}
        shapes |= {f"{name}.nested_absmax": (1,), f"{name}.quant_map": (16,), f"{name}.nested_quant_map": (256,)}
        shapes[f"{name}.quant_state.bitsandbytes__nf4"] = (90,)
        as_bytes |= {name, f"{name}.absmax", f"{name}.quant_state.bitsandbytes__nf4"}
    write_safetensors(model / "model.safetensors", shapes, frozenset(as_bytes))


def test_a_base_in_four_bits_is_planned_as_its_original(tmp_path: Path) -> None:
    original = place(tmp_path / "original").prepare()
    run = place(tmp_path / "quantised")
    _save_in_four_bits(tmp_path / "quantised" / "model")

    report = run.prepare()

    assert original.plan is not None
    assert report.plan is not None
    assert report.plan.memory is not None
    assert report.plan.memory == original.plan.memory
    assert not [warning for warning in report.warnings if "quantised" in warning]


@pytest.mark.parametrize(
    "asked", [{"type": "none"}, {"type": "int8"}, {"type": "fp4"}, {"type": "nf4", "doubleQuant": False}]
)
def test_a_spec_that_asks_for_another_quantisation_is_refused_with_the_one_to_set(
    tmp_path: Path, asked: dict[str, Any]
) -> None:
    run = place(tmp_path, quantization=asked)
    _save_in_four_bits(tmp_path / "model")

    with pytest.raises(TrainerError) as raised:
        run.prepare()

    assert raised.value.exit_code is ExitCode.BAD_CONFIG
    assert raised.value.param == "spec.quantization.type"
    assert "set quantization: {type: nf4, doubleQuant: true}" in str(raised.value.hint)


def test_a_base_whose_quantisation_left_layers_out_is_refused_with_their_name(tmp_path: Path) -> None:
    run = place(tmp_path)
    _save_in_four_bits(tmp_path / "model", left_out="model.layers.1.mlp.down_proj.weight")

    with pytest.raises(TrainerError) as raised:
        run.prepare()

    assert (
        "model.layers.1.mlp.down_proj.weight of microsoft/Phi-4-mini-instruct is left in BF16" in raised.value.message
    )


def test_codes_that_fit_no_layer_are_refused(tmp_path: Path) -> None:
    run = place(tmp_path)
    _save_in_four_bits(tmp_path / "model", codes=1)

    with pytest.raises(TrainerError) as raised:
        run.prepare()

    assert "bytes of 4-bit codes, which fit no layer of hidden_size 32" in raised.value.message


def test_codes_of_another_layer_size_than_config_says_are_refused(tmp_path: Path) -> None:
    run = place(tmp_path)
    _save_in_four_bits(tmp_path / "model", codes=16)

    with pytest.raises(TrainerError) as raised:
        run.prepare()

    assert "config.json of microsoft/Phi-4-mini-instruct says" in raised.value.message


@pytest.mark.parametrize(
    "settings",
    [
        {"load_in_4bit": False, "load_in_8bit": True},
        {"bnb_4bit_quant_type": "int4"},
        {"bnb_4bit_quant_storage": "bfloat16"},
        {"bnb_4bit_use_double_quant": "yes"},
    ],
)
def test_what_else_bitsandbytes_writes_is_refused(settings: dict[str, Any]) -> None:
    config = {"model_type": "llama", "quantization_config": {**NF4, **settings}}

    assert quantised_base.refusal({**config, "quantization_config": NF4}, MODEL) is None
    assert "in bitsandbytes" in str(quantised_base.refusal(config, MODEL))
    assert quantised_base.refusal({"model_type": "mixtral", "quantization_config": NF4}, MODEL) is not None
