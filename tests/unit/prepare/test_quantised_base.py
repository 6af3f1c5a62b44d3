"""A base model that comes quantised: the refusal says in which format, and what to use instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.prepare import quantised_base
from support.chat_models import CONFIG
from support.prepare_orders import place

MODEL = "team/model-quantised"


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
