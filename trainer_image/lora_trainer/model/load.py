"""The frozen base model, quantised as the spec says."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, PretrainedConfig, PreTrainedModel

from lora_contract import spec_paths
from lora_contract.counts import counted
from lora_contract.finetune import QuantizationSpec
from lora_trainer.errors import unsupported
from lora_trainer.model.hardware import Hardware, free_memory
from lora_trainer.model_files.shape import expert_count

log = logging.getLogger(__name__)

#: Share of the free memory that a base model expanded to float32 may take on the CPU.
_EXPANDED_SHARE = 0.5


def load_base(path: Path, quantization: QuantizationSpec, hardware: Hardware) -> PreTrainedModel:
    """Load the base model, frozen, on its device; only safetensors are read, no code of the model's repository is run.

    On the CPU the 4-bit values are computed once and, where memory allows, kept as float32: the same values as
    decoding them at every step, several times faster.

    Raises:
        TrainerError: 78, the architecture is not known to transformers or cannot be quantised so.
    """
    four_bit = quantization.type in ("nf4", "fp4")
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        already = getattr(config, "quantization_config", None) is not None
        expanded = four_bit and not hardware.is_cuda and _fits_expanded(path, hardware, already=already)
        # Files that hold codes say themselves how they are read.
        options = load_options(quantization, hardware, expanded=expanded or already, experts=_is_mixture(config))
        model, found = AutoModelForCausalLM.from_pretrained(
            path,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, in words
            **options,
        )
    except (ValueError, KeyError, ImportError) as error:
        raise unsupported(
            f"transformers cannot load the model: {error}",
            param=spec_paths.MODEL_ID,
            hint="Choose a causal language model whose architecture is part of transformers.",
        ) from error
    _refuse_incomplete(found)
    model.requires_grad_(False)
    _refuse_experts_in_eight_bits(model, quantization)
    if already:
        model = _of_quantised_files(model, hardware, expanded=expanded)
    elif expanded:
        round_to_four_bit(model, quantization)
    if four_bit and not expanded and not hardware.is_cuda:
        _keep_autograd_on_cpu(model)
    return model


def load_options(
    quantization: QuantizationSpec, hardware: Hardware, *, expanded: bool, experts: bool = False
) -> dict[str, Any]:
    """Make the arguments for `from_pretrained`: one device, one format, no code and no pickles of the repository."""
    options: dict[str, Any] = {
        "dtype": hardware.dtype,
        "local_files_only": True,
        "use_safetensors": True,
        "trust_remote_code": False,
    }
    if quantization.type != "none" and not expanded:
        options["quantization_config"] = bitsandbytes_config(quantization, hardware, experts=experts)
    if hardware.is_cuda:
        options["device_map"] = {"": hardware.device.index}
    return options


def bitsandbytes_config(
    quantization: QuantizationSpec, hardware: Hardware, *, experts: bool = False
) -> BitsAndBytesConfig:
    """Tell bitsandbytes how to hold the weights, those of experts too, and in which format to compute."""
    if quantization.type == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    made = BitsAndBytesConfig
    if experts:
        from lora_trainer.model.four_bit_experts import FourBitWithExperts  # noqa: PLC0415 - slow to import

        made = FourBitWithExperts
    return made(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.type,
        bnb_4bit_use_double_quant=quantization.double_quant,
        bnb_4bit_compute_dtype=hardware.dtype,
    )


def _is_mixture(config: PretrainedConfig) -> bool:
    return expert_count(config.get_text_config().to_dict()) > 1


def _of_quantised_files(model: PreTrainedModel, hardware: Hardware, *, expanded: bool) -> PreTrainedModel:
    """Let a model whose files hold 4-bit codes compute as one that is quantised here: its files name another format."""
    if expanded:
        return model.dequantize(hardware.dtype).requires_grad_(False)
    import bitsandbytes  # noqa: PLC0415 - slow to import

    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.compute_dtype = hardware.dtype
            module.compute_type_is_set = True
    return model


def _fits_expanded(path: Path, hardware: Hardware, *, already: bool) -> bool:
    """Tell whether the model in float32 fits the CPU's memory.

    Weights on disk have 2 bytes each, rarely 4; half a byte where they are quantised `already`.
    """
    on_disk = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    return (8 if already else 2) * on_disk <= _EXPANDED_SHARE * free_memory(hardware)


def quantizable(model: PreTrainedModel) -> Iterator[tuple[str, nn.Linear]]:
    """List every linear layer but the output head: what bitsandbytes quantises."""
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not head:
            yield name, module


def round_to_four_bit(model: PreTrainedModel, quantization: QuantizationSpec) -> None:
    """Replace each weight of the linear layers by the value that its 4-bit code stands for."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit  # noqa: PLC0415 - slow to import

    for _, layer in quantizable(model):
        code, state = quantize_4bit(
            layer.weight.data, compress_statistics=quantization.double_quant, quant_type=quantization.type
        )
        layer.weight.data.copy_(dequantize_4bit(code, state))
    if _is_mixture(model.config):
        from lora_trainer.model.four_bit_experts import round_experts  # noqa: PLC0415 - slow to import

        round_experts(model, quantization)


def _keep_autograd_on_cpu(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from repacking weights in evaluation: afterwards its CPU kernels give wrong gradients."""
    import bitsandbytes  # noqa: PLC0415 - slow to import

    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _refuse_experts_in_eight_bits(model: PreTrainedModel, quantization: QuantizationSpec) -> None:
    """Refuse int8 of a mixture: its experts stay in 16 bits, so it needs about as much memory as without."""
    experts = expert_count(model.config.get_text_config().to_dict())
    if quantization.type == "int8" and experts > 1:
        raise unsupported(
            f"the model is a mixture of {counted(experts, 'expert')}, whose weights int8 leaves as they are",
            param=spec_paths.QUANTIZATION_TYPE,
            hint="Set quantization.type: nf4, or none.",
        )


def _refuse_incomplete(found: dict[str, Any]) -> None:
    """Refuse weights that are missing, or of another shape: they were filled with random numbers."""
    problem = {
        "missing_keys": "are missing in its files",
        "mismatched_keys": "have another shape than config.json says",
    }
    for kind, what in problem.items():
        names = sorted(str(key[0] if isinstance(key, tuple) else key) for key in found.get(kind) or ())
        if names:
            raise unsupported(
                f"weights of the model {what}: {', '.join(names[:3])}",
                param=spec_paths.MODEL_ID,
                hint="Upload all files of one and the same model again.",
            )
