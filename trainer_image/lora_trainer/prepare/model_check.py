"""Whether the base model can be adapted as the spec asks, judged from its small files and the weights' headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_contract.spec import LoRAFineTuneSpec
from lora_contract.spec.training import ALL_LINEAR
from lora_trainer.errors import TrainerError, bad_config, unsupported
from lora_trainer.model_files import contents
from lora_trainer.model_files.contents import PARAM_MODEL, Tensor

#: Keys of config.json that count the experts of a mixture.
_EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
#: Keys of config.json that the memory estimate is made from; every decoder of the last years has them.
_NEEDED_SIZES = ("hidden_size", "num_hidden_layers", "vocab_size")
#: Parts of the names of two-dimensional weights that are not linear layers, or that no adapter goes on.
_NOT_ADAPTED = re.compile(r"embed|lm_head|embed_out|\bwte\b|\bwpe\b|norm")
_SHOWN_MODULES = 12


def check_config(folder: Path, spec: LoRAFineTuneSpec) -> dict[str, Any]:
    """The model's configuration.

    Raises:
        TrainerError: the architecture is unknown, no causal language model, a mixture with quantisation, or its
            weights are quantised already.
    """
    model = spec.model.id
    config = contents.read_json(folder / contents.CONFIG, model)
    if "_attn_implementation_internal" in config:
        raise _refused(f"config.json of {model} sets _attn_implementation_internal, which can load foreign code")
    _check_architecture(config, model)
    if config.get("quantization_config"):
        raise _refused(f"the weights of {model} are quantised already", "use the model with 16-bit weights")
    for key in _NEEDED_SIZES:
        if not isinstance(config.get(key), int):
            raise _refused(f"config.json of {model} has no {key}")
    experts = max((config[key] for key in _EXPERT_KEYS if isinstance(config.get(key), int)), default=0)
    if experts > 1 and spec.quantization.type != "none":
        raise unsupported(
            f"{model} is a mixture of {experts} experts, which {spec.quantization.type} would leave unquantised",
            param="spec.quantization.type",
            hint="set quantization.type: none, or use a dense model",
        )
    return config


def _check_architecture(config: Mapping[str, Any], model: str) -> None:
    from transformers.models.auto.auto_mappings import CONFIG_MAPPING_NAMES  # noqa: PLC0415 - takes a second

    architectures = config.get("architectures") or []
    name = str(architectures[0]) if isinstance(architectures, list) and architectures else "none"
    model_type = config.get("model_type")
    if model_type not in CONFIG_MAPPING_NAMES:
        code = "; it needs code from its own repository, which is never run" if config.get("auto_map") else ""
        raise _refused(f"{model} has the model type {model_type!r}, which transformers does not know{code}")
    if not name.endswith("ForCausalLM"):
        raise _refused(
            f"{model} is {name}, not a causal language model", "use a text model whose class ends in ForCausalLM"
        )


def _refused(message: str, hint: str = "use another base model") -> TrainerError:
    return unsupported(message, param=PARAM_MODEL, hint=hint)


def linear_modules(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Two-dimensional weights of linear layers, by module name, without embeddings and the output layer."""
    return {
        name.removesuffix(".weight"): tensor
        for name, tensor in tensors.items()
        if name.endswith(".weight") and len(tensor.shape) == 2 and not _NOT_ADAPTED.search(name)
    }


def adapted_modules(tensors: Mapping[str, Tensor], spec: LoRAFineTuneSpec) -> dict[str, Tensor]:
    """The linear layers that get an adapter; a name matches a module of that name or one that ends with `.name`.

    Raises:
        TrainerError: a requested module is not in the model.
    """
    linear = linear_modules(tensors)
    targets = spec.lora.target_modules
    if targets == [ALL_LINEAR]:
        return linear
    chosen: dict[str, Tensor] = {}
    for target in targets:
        matched = {name: t for name, t in linear.items() if name == target or name.endswith(f".{target}")}
        if not matched:
            endings = sorted({name.rsplit(".", 1)[-1] for name in linear})
            raise bad_config(
                f"lora.targetModules names {target!r}, which {spec.model.id} does not have;"
                f" its linear layers are {', '.join(endings[:_SHOWN_MODULES])}",
                param="spec.lora.targetModules",
                hint=f"use these names, or {ALL_LINEAR}",
            )
        chosen |= matched
    return chosen
