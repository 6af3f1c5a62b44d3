"""Why a base model whose weights are quantised already cannot be trained, and what to use instead; no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lora_contract import spec_paths
from lora_trainer.errors import TrainerError, unsupported

#: Names of quantisations by `quant_method` of config.json, as in transformers' AUTO_QUANTIZER_MAPPING.
_NAMES = {
    "aqlm": "AQLM",
    "auto-round": "AutoRound",
    "awq": "AWQ",
    "bitnet": "BitNet",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "eetq": "EETQ",
    "fbgemm_fp8": "FP8 of FBGEMM",
    "fp8": "FP8",
    "gguf": "GGUF",
    "gptq": "GPTQ",
    "hqq": "HQQ",
    "mxfp4": "MXFP4",
    "mxfp8": "MXFP8",
    "nvfp4": "NVFP4",
    "quanto": "Quanto",
    "quark": "Quark",
    "torchao": "torchao",
}
#: Publishers offer some models in these formats alone. transformers turns them into 16 bits with no other package.
_CONVERTERS = {"fp8": "FineGrainedFP8Config", "mxfp4": "Mxfp4Config"}
#: A repository of the Hub. A path on the disk of who saved the model begins otherwise, or has more parts.
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def refusal(config: Mapping[str, Any], model: str) -> TrainerError | None:
    """Make the refusal of `model` by its `quantization_config` in config.json; None where it has none."""
    settings = config.get("quantization_config")
    if not settings:
        return None
    method = _method(settings)
    name = _NAMES.get(method, f"the quantisation {method!r}") if method else "a quantisation that it does not name"
    converter = _CONVERTERS.get(method)
    hint = f"use {_original(config, model)}"
    if converter is not None:  # in the original format it would write the codes again, without their configuration
        hint += (
            "; where there is none, convert this one once: AutoModelForCausalLM.from_pretrained(...,"
            f" quantization_config={converter}(dequantize=True)).save_pretrained(..., save_original_format=False)"
        )
    return unsupported(
        f"the weights of {model} are quantised already, in {name}: a run reads weights of 16 or 32 bits, and"
        " quantises them itself as quantization.type says",
        param=spec_paths.MODEL_ID,
        hint=hint,
    )


def _method(settings: Any) -> str:
    """Read `quant_method`; empty where there is none. Early bitsandbytes models have only one of its switches."""
    if not isinstance(settings, Mapping):
        return ""
    method = settings.get("quant_method")
    if isinstance(method, str) and method:
        return method
    return "bitsandbytes" if settings.get("load_in_4bit") or settings.get("load_in_8bit") else ""


def _original(config: Mapping[str, Any], model: str) -> str:
    """Name the repository that config.json says the weights come from, or say where it is found."""
    origin = config.get("_name_or_path")
    if isinstance(origin, str) and origin != model and _REPOSITORY.fullmatch(origin):
        return f"the model it was made from, {origin} as its config.json says, if that one has 16-bit weights"
    return "the model it was made from, with 16-bit weights (base_model in its card on the Hub often names it)"
