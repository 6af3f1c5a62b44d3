"""What kind of model the files hold. The one place that reads it from configuration, names and shapes; no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lora_trainer.model_files.safetensors_header import Tensor

#: Keys of config.json that count the experts of a mixture.
EXPERT_KEYS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
#: Keys that count the experts of a token which a router chooses, and those that every token goes through.
CHOSEN_KEYS = ("num_experts_per_tok", "moe_topk", "moe_k")
SHARED_KEYS = ("n_shared_experts", "num_shared_expert", "moe_num_shared_experts", "num_shared_experts")
#: Parts of the names of two-dimensional weights that are not linear layers, or that no adapter goes on.
_NOT_ADAPTED = re.compile(r"embed|lm_head|embed_out|\bwte\b|\bwpe\b|norm")
#: Layers of experts and routers by their last name. transformers holds the experts of a block in one tensor, on which
#: peft knows no dropout, and peft takes these names for that tensor wherever they occur in a mixture.
_ROUTED = frozenset(
    {"gate_proj", "up_proj", "down_proj", "gate_up_proj", "w1", "w2", "w3", "gate", "router", "shared_expert_gate"}
)
#: Parts of the names of routers, which are small and stay as they are.
_ROUTER = re.compile(r"\.(gate|router|shared_expert_gate)\.")
_AN_EXPERT = re.compile(r"\.experts\.\d+\.")
#: Mixtures whose experts are held in 4 bits: transformers takes them out of their tensor one by one. All were tried.
FOUR_BIT_MIXTURES = (
    *("mixtral", "qwen2_moe", "qwen3_moe", "qwen3_next", "qwen3_5_moe_text", "olmoe", "flex_olmo"),
    *("deepseek_v2", "deepseek_v3", "glm4_moe", "gpt_oss", "granitemoe", "granitemoeshared", "ernie4_5_moe"),
    *("hunyuan_v1_moe", "minimax", "minimax_m2", "afmoe", "solar_open", "exaone_moe", "jetmoe", "nemotron_h"),
)
_EXPERT_PART = re.compile(r"\.(experts|router|gate)\.")
#: Layers, by their last name, on which peft refuses an adapter in these families: their fused kernels read the weight
#: itself, past an adapter (peft, tuners_utils._check_lora_target_modules_mamba).
_STATE_SPACE_TYPES = frozenset({"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"})
_OF_STATE_SPACE = frozenset({"out_proj", "conv1d"})
#: Families whose linear layers are transformers' Conv1D.
_TRANSPOSED_TYPES = frozenset({"gpt2", "openai-gpt"})
#: Layers that predict more tokens ahead, which transformers does not load: behind the last one, or named so.
_AHEAD = re.compile(r"(^|\.)mtp\.")
_EMBEDDINGS = re.compile(r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings)\.weight$")
#: Names under which the sizes of a model are asked for, and what Bloom and Falcon read as one beside it.
_USUAL_NAMES = ("hidden_size", "num_hidden_layers", "vocab_size")
_OLD_NAMES = {"hidden_size": "n_embed"}
#: Names of the weights of a table of positions.
POSITIONS = re.compile(r"(^|\.)(wpe|embed_positions|position_embeddings?)\.weight$")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


def with_usual_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration of a known family with its sizes under the usual names too.

    GPT-2 and those after it call the hidden size n_embd, and their classes in transformers say what is meant.
    """
    if all(key in config for key in _USUAL_NAMES):
        return dict(config)
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # noqa: PLC0415 - takes a second

    names = CONFIG_MAPPING[config["model_type"]].attribute_map
    own = [*_OLD_NAMES.items(), *((usual, name) for usual, name in names.items() if isinstance(name, str))]
    found = {usual: config[name] for usual, name in own if config.get(usual) is None and config.get(name) is not None}
    return {**config, **found}


def expert_count(config: Mapping[str, Any]) -> int:
    """Count the experts in a block of a mixture; 0 or 1 in a dense model."""
    return max(stated_expert_counts(config).values(), default=0)


def stated_expert_counts(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the keys that count the experts of a block, with their numbers: families name it differently."""
    return {key: config[key] for key in EXPERT_KEYS if _is_count(config.get(key))}


def adaptable(names: Iterable[str], config: Mapping[str, Any]) -> list[str]:
    """Return those of the names of linear layers on which an adapter goes.

    There is none on embeddings and head, on experts and routers, on layers that transformers does not load, and where
    peft refuses it.
    """
    layers = config.get("num_hidden_layers")
    left = [name for name in names if not _NOT_ADAPTED.search(name) and not is_ahead(name, layers)]
    if expert_count(config) > 1:
        left = [name for name in left if last_name(name) not in _ROUTED and not _EXPERT_PART.search(f"{name}.")]
    if config.get("model_type") in _STATE_SPACE_TYPES:
        left = [name for name in left if last_name(name) not in _OF_STATE_SPACE]
    return left


def is_ahead(name: str, layers: Any) -> bool:
    """Tell whether a module or weight is of layers that predict more tokens ahead, of a model of so many layers."""
    found = _LAYER.search(name)
    return _AHEAD.search(name) is not None or (found is not None and _is_count(layers) and int(found[1][:9]) >= layers)


def last_name(module: str) -> str:
    """Return the last part of a module's name, by which a spec names its kind."""
    return module.rpartition(".")[2]


def from_layer(module: str) -> str:
    """Return a module's name from its layer on: what stands before differs between files and the loaded model."""
    found = _LAYER.search(module)
    return module if found is None else module[found.start() :].lstrip(".")


def holds_transposed(config: Mapping[str, Any]) -> bool:
    """Tell whether the weights of linear layers are stored as [input, output], as the first decoders do."""
    return config.get("model_type") in _TRANSPOSED_TYPES


def linear_modules(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the two-dimensional weights on which an adapter can go, by module name."""
    weights = {
        name.removesuffix(".weight"): tensor
        for name, tensor in tensors.items()
        if name.endswith(".weight") and len(tensor.shape) == 2
    }
    return {name: weights[name] for name in adaptable(weights, config)}


def quantised(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights that a quantisation takes: those of linear layers, and of experts where that was tried."""
    linear = linear_modules(tensors, config)
    experts = expert_count(config)
    if experts <= 1 or config.get("model_type") not in FOUR_BIT_MIXTURES:
        return linear
    layers = config.get("num_hidden_layers")
    of_blocks = {}
    for name, tensor in tensors.items():
        fused = len(tensor.shape) == 3 and tensor.shape[0] == experts
        layer = len(tensor.shape) == 2 and name.endswith(".weight") and not _NOT_ADAPTED.search(name)
        if fused or (layer and not _ROUTER.search(name) and not is_ahead(name, layers)):
            of_blocks[name.removesuffix(".weight")] = tensor
    return linear | of_blocks


def parts_of_experts(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return for each weight of experts how many it holds, and the values of one of them."""
    experts = expert_count(config)
    if experts <= 1:
        return []
    alone = [(1, tensor.size) for name, tensor in tensors.items() if _AN_EXPERT.search(name)]
    fused = [tensor for tensor in tensors.values() if len(tensor.shape) == 3 and tensor.shape[0] == experts]
    return alone + [(experts, tensor.size // experts) for tensor in fused]


def active_parameters(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> int:
    """Count the parameters that take part in computing one token: of experts those that a router chooses."""
    every = sum(tensor.size for tensor in tensors.values())
    of_experts = sum(number * size for number, size in parts_of_experts(tensors, config))
    chosen: Any = config.get("num_experts_per_tok")
    if not of_experts or not _is_count(chosen):
        return every
    return every - of_experts + of_experts * min(chosen, expert_count(config)) // expert_count(config)


def embeddings(tensors: Mapping[str, Tensor]) -> Tensor | None:
    """Find the table with a row for each token, where exactly one can be told by its name."""
    return _only(tensors, _EMBEDDINGS)


def learned_positions(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether the model has a table of positions: there is nothing in it for a token behind its end."""
    return _only(tensors, POSITIONS) is not None


def layer_count(tensors: Mapping[str, Tensor]) -> int | None:
    """Count the decoder layers that the weights hold; None where their names do not say."""
    numbers = [int(found[1][:9]) for name in tensors if (found := _LAYER.search(name))]
    return max(numbers) + 1 if numbers else None


def context_length(config: Mapping[str, Any]) -> int | None:
    """Return the tokens that the model was made for, scaled rotary positions included; None where it does not say."""
    stated = next((config[key] for key in _CONTEXT_KEYS if _is_count(config.get(key))), None)
    scaling = config.get("rope_scaling") or config.get("rope_parameters")
    if stated is None or not isinstance(scaling, dict):
        return stated
    factor, original = scaling.get("factor"), scaling.get("original_max_position_embeddings", stated)
    if not isinstance(factor, int | float) or not _is_count(original) or not 1 <= factor <= 2**20:
        return stated
    return max(stated, int(original * factor))


def _only(tensors: Mapping[str, Tensor], pattern: re.Pattern[str]) -> Tensor | None:
    found = [tensor for name, tensor in tensors.items() if pattern.search(name) and len(tensor.shape) == 2]
    return found[0] if len(found) == 1 else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
