"""Whether the experts in a mixture's weights are those that its config.json says.

transformers fills experts that are missing, or of another shape, with random numbers, and says so only on a GPU.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from lora_contract.counts import counted
from lora_trainer.model_files import shape
from lora_trainer.model_files.safetensors_header import Tensor

_AN_EXPERT = re.compile(r"(?P<block>.*\.experts)\.(?P<number>\d{1,9})\.(?P<part>.*)")
#: Families whose experts are of `intermediate_size`, and those that have `moe_intermediate_size` for them.
_SIZE_OF_ALL = frozenset({"mixtral", "olmoe", "flex_olmo", "minimax", "minimax_m2"})
_SIZE_OF_EXPERTS = frozenset(
    {"qwen2_moe", "qwen3_moe", "qwen3_next", "deepseek_v2", "deepseek_v3", "glm4_moe", "ernie4_5_moe", "afmoe"}
)
#: The dimension of an expert's weights [output, input] that is its inner one.
_INNER = {"gate_proj": 0, "up_proj": 0, "down_proj": 1, "w1": 0, "w3": 0, "w2": 1}


def contradiction(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str | None:
    """Say, in words that follow the name of config.json, what of its experts the weights do not bear out.

    None: nothing, or it is of a family whose weights are not known here.
    """
    if config.get("model_type") not in shape.FOUR_BIT_MIXTURES:
        return None
    counts = shape.stated_expert_counts(config)
    if len(set(counts.values())) > 1:
        return f"says {' and '.join(f'{key} {value}' for key, value in counts.items())}, which are one and the same"
    experts, chosen = shape.expert_count(config), config.get("num_experts_per_tok")
    if experts > 1 and isinstance(chosen, int) and not 1 <= chosen <= experts:
        return f"says num_experts_per_tok {chosen}, but it has {counted(experts, 'expert')}"
    layers = config.get("num_hidden_layers")
    known = {name: tensor for name, tensor in tensors.items() if not shape.is_ahead(name, layers)}
    return next(_differences(config, experts, known), None)


def _differences(config: Mapping[str, Any], experts: int, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    blocks: defaultdict[str, defaultdict[int, dict[str, Tensor]]] = defaultdict(lambda: defaultdict(dict))
    for name, tensor in tensors.items():
        if (found := _AN_EXPERT.fullmatch(name)) is not None:
            blocks[found["block"]][int(found["number"])][found["part"]] = tensor
    fused = {name: tensor for name, tensor in tensors.items() if ".experts." in name and len(tensor.shape) == 3}
    if experts <= 1:
        if blocks or fused:
            yield f"says no number of experts, but the weights hold {next(iter(blocks or fused))}"
        return
    if not blocks and not any(len(tensor.shape) == 3 and tensor.shape[0] == experts for tensor in tensors.values()):
        yield f"says that it has {counted(experts, 'expert')}, but the weights hold none of that number"
    for name, tensor in fused.items():
        if tensor.shape[0] != experts:
            yield f"says that it has {counted(experts, 'expert')}, but {name} holds {tensor.shape[0]}"
        if (block := name.rpartition(".experts.")[0] + ".experts") in blocks:
            yield f"has one form of experts, but {block} holds them in two: {name}, and each for itself"
    for block, numbered in blocks.items():
        yield from _differences_of_block(config, experts, block, numbered)


def _differences_of_block(
    config: Mapping[str, Any], experts: int, block: str, numbered: Mapping[int, Mapping[str, Tensor]]
) -> Iterator[str]:
    """Compare experts that are stored each for itself with their number, with each other, and with their size."""
    if len(numbered) != experts or max(numbered) != experts - 1:
        missing = next((number for number in range(experts) if number not in numbered), None)
        lack = f"the weights hold {len(numbered)}" if missing is None else f"the weights lack {block}.{missing}"
        yield f"says that it has {counted(experts, 'expert')}, but {lack}"
    key, size = _inner_size(config)
    first_number, first = next(iter(numbered.items()))
    for number, parts in numbered.items():
        if (part := next(iter(parts.keys() ^ first.keys()), None)) is not None:
            has, lacks = (number, first_number) if part in parts else (first_number, number)
            yield f"says that all experts are alike, but {block}.{has} has {part} and {block}.{lacks} does not"
        for part, tensor in parts.items():
            found = " x ".join(map(str, tensor.shape))
            if part in first and tensor.shape != first[part].shape:
                yield f"says that all experts are alike, but {block}.{number}.{part} is {found}, unlike others"
            inner = _INNER.get(part.removesuffix(".weight"))
            if size is not None and inner is not None and len(tensor.shape) == 2 and tensor.shape[inner] != size:
                yield f"says {key} {size}, so one side of {block}.{number}.{part} is {size}, but it is {found}"


def _inner_size(config: Mapping[str, Any]) -> tuple[str, int | None]:
    """Name the key that holds the inner size of an expert, and its value; None: it is not stated, or not known."""
    family = config["model_type"]
    key = "intermediate_size" if family in _SIZE_OF_ALL else "moe_intermediate_size"
    value = config.get(key) if family in _SIZE_OF_ALL | _SIZE_OF_EXPERTS else None
    return key, value if isinstance(value, int) else None
