"""Whether the shapes of a model's layers are those that its config.json says, for families that are built alike.

transformers fills weights of another shape with random numbers and says so only once it has loaded them, on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from lora_trainer.model_files.safetensors_header import Tensor
from lora_trainer.model_files.shape import last_name

#: Decoders of attention and gated layers without experts, whose sizes config.json names alike.
ALIKE = frozenset(
    {
        "cohere",
        "exaone4",
        "gemma",
        "gemma2",
        "gemma3_text",
        "granite",
        "helium",
        "llama",
        "ministral",
        "mistral",
        "olmo",
        "olmo2",
        "olmo3",
        "qwen2",
        "qwen3",
        "seed_oss",
        "smollm3",
    }
)


class _Size(NamedTuple):
    """One dimension of a layer's weight, [output, input], and what config.json says of it; None: nothing."""

    dimension: int
    value: int | None
    of: str


def contradiction(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str | None:
    """Find the first layer that is of another size than config.json says, in words; None where there is none."""
    if config.get("model_type") not in ALIKE:
        return None
    sizes = dict(_sizes(config))
    for name, tensor in tensors.items():
        for size in sizes.get(last_name(name.removesuffix(".weight")), ()):
            if size.value is not None and len(tensor.shape) == 2 and tensor.shape[size.dimension] != size.value:
                found = " x ".join(map(str, tensor.shape))
                return f"says {size.of}, so one side of {name} is {size.value}, but it is {found}"
    return None


def _sizes(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[_Size, ...]]]:
    """Return for each kind of layer, by the last part of its name, what is known of its output and its input."""
    hidden, inner = _number(config, "hidden_size"), _number(config, "intermediate_size")
    head = _number(config, "head_dim")
    heads, pairs = _number(config, "num_attention_heads"), _number(config, "num_key_value_heads")
    width = _Size(1, hidden, f"hidden_size {hidden}")
    yield "q_proj", (width, _Size(0, _times(heads, head), f"{heads} heads of head_dim {head}"))
    for name in ("k_proj", "v_proj"):
        yield name, (width, _Size(0, _times(pairs, head), f"{pairs} num_key_value_heads of head_dim {head}"))
    yield "o_proj", (width._replace(dimension=0), _Size(1, _times(heads, head), f"{heads} heads of head_dim {head}"))
    for name in ("gate_proj", "up_proj"):
        yield name, (width, _Size(0, inner, f"intermediate_size {inner}"))
    yield "down_proj", (width._replace(dimension=0), _Size(1, inner, f"intermediate_size {inner}"))


def _number(config: Mapping[str, Any], key: str) -> int | None:
    """Read a size that config.json states; families differ in what it is where it is not stated."""
    value = config.get(key)
    return value if isinstance(value, int) else None


def _times(heads: int | None, head: int | None) -> int | None:
    return None if heads is None or head is None else heads * head
