"""Base models whose weights are quantised already: which can be trained, and what to use instead; no torch.

Those that bitsandbytes quantised to 4 bits are trained as they are, where the original shapes of their layers follow
from the configuration: a file holds codes without a shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lora_contract import spec_paths
from lora_contract.counts import counted
from lora_contract.finetune import QuantizationSpec
from lora_trainer.errors import TrainerError, bad_config, unsupported
from lora_trainer.model_files import shape
from lora_trainer.model_files.safetensors_header import Tensor
from lora_trainer.prepare.layer_check import ALIKE

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


#: Between the name of a weight and the rest of the names of its constants, as bitsandbytes saves them.
_CONSTANTS = re.compile(r"\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__\w+)$")
_CODES_A_BYTE = 2


def check(config: Mapping[str, Any], model: str, quantization: QuantizationSpec) -> None:
    """Refuse a base that is quantised in a way that is not trained, or otherwise than the spec says.

    Raises:
        TrainerError: it is.
    """
    if (refused := refusal(config, model)) is not None:
        raise refused
    if (held := four_bits(config)) is not None and quantization != held:
        wanted = f"{{type: {held.type}, doubleQuant: {str(held.double_quant).lower()}}}"
        raise bad_config(
            f"the weights of {model} are quantised already, as quantization {wanted}, and stay so",
            param=spec_paths.QUANTIZATION_TYPE,
            hint=f"set quantization: {wanted}, or use {_original(config, model)}",
        )


def four_bits(config: Mapping[str, Any]) -> QuantizationSpec | None:
    """Read how bitsandbytes quantised a base that can be trained as it is; None for all others."""
    settings = config.get("quantization_config")
    if not isinstance(settings, Mapping) or _method(settings) != "bitsandbytes" or not settings.get("load_in_4bit"):
        return None
    kind, double = settings.get("bnb_4bit_quant_type"), settings.get("bnb_4bit_use_double_quant", False)
    plain = settings.get("bnb_4bit_quant_storage", "uint8") == "uint8"
    if kind not in ("nf4", "fp4") or not isinstance(double, bool) or not plain or config.get("model_type") not in ALIKE:
        return None
    return QuantizationSpec(type=kind, double_quant=double)


def with_original_shapes(tensors: Mapping[str, Tensor], config: Mapping[str, Any], model: str) -> dict[str, Tensor]:
    """Return the tensors as they were before bitsandbytes quantised them; all others as they are.

    One side of each linear layer of these families is hidden_size, and two codes lie in a byte.

    Raises:
        TrainerError: a layer was left in 16 bits, or has a number of codes that fits no shape.
    """
    if four_bits(config) is None:
        return dict(tensors)
    hidden = config["hidden_size"]
    original = {}
    for name, tensor in tensors.items():
        if _CONSTANTS.search(name):
            continue
        module = name.removesuffix(".weight")
        if name == f"{module}.weight" and f"{name}.absmax" in tensors:
            other, rest = divmod(_CODES_A_BYTE * tensor.size, hidden)
            if rest or tensor.dtype != "U8":
                raise unsupported(
                    f"{name} of {model} holds {counted(tensor.size, 'byte')} of 4-bit codes, which fit no"
                    f" layer of hidden_size {hidden}",
                    param=spec_paths.MODEL_ID,
                    hint="upload the files of one and the same model again",
                )
            to_hidden = shape.last_name(module) in ("o_proj", "down_proj")
            original[name] = Tensor("BF16", (hidden, other) if to_hidden else (other, hidden))
            continue
        if name == f"{module}.weight" and shape.linear_modules({name: tensor}, config):
            raise unsupported(
                f"{name} of {model} is left in {tensor.dtype} by its quantisation, which is not supported",
                param=spec_paths.MODEL_ID,
                hint=f"use {_original(config, model)}",
            )
        original[name] = tensor
    return original


def refusal(config: Mapping[str, Any], model: str) -> TrainerError | None:
    """Make the refusal of `model` by its `quantization_config` in config.json; None where it can be trained."""
    settings = config.get("quantization_config")
    if not settings or four_bits(config) is not None:
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
