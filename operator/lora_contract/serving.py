"""Which servers load a published adapter as it is, and with what: a table of what their loaders read.

A server that reads an adapter with another scale, or leaves layers out, answers without an error; so such cases are a
no here. What was not looked up is said to be unknown, not guessed. docs/serving.md explains the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field

from lora_contract.base import StatusModel

Loads = Literal["Yes", "No", "Unknown"]
#: Longest advice on one server in bytes.
LONGEST_ADVICE = 200
#: More servers than there will be in the table.
MOST_SERVERS = 12
#: vLLM's --max-lora-rank unless it is set (vllm/config/lora.py, LoRAConfig.max_lora_rank).
_VLLM_DEFAULT_RANK = 16
#: Families whose class in vllm/model_executor/models has SupportsLoRA, if only from its parent, and those without.
_VLLM = frozenset(
    {
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt_bigcode",
        "gpt_oss",
        "llama",
        "mistral",
        "mixtral",
        "phi3",
        "qwen2",
        "qwen3",
    }
)
_NOT_VLLM = frozenset({"bloom", "falcon", "gpt2", "gptj", "mpt"})
#: Layers that SGLang can put an adapter on, by the last part of their names as PEFT writes them
#: (sglang/srt/lora/utils.py, _KNOWN_LORA_TARGET_MODULES and get_normalized_target_modules).
_SGLANG_LAYERS = frozenset(
    {"q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "out_proj", "gate_proj", "up_proj", "gate_up_proj"}
    | {"down_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "in_proj"}
)
#: Families with the layers that every server knows, each read by the loaders below.
_PLAIN = frozenset({"llama", "qwen2", "qwen3"})
#: Families in LoRAX' list of models, whose loader TGI took over (server/*/adapters/lora.py in both).
_LORAX = frozenset({"gemma", "gemma2", "llama", "mistral", "mixtral", "phi3", "qwen2"})
#: Families whose adapters ollama/convert/convert.go, ConvertAdapter, converts: architectures llama (Mistral too) and
#: gemma2.
_OLLAMA = frozenset({"gemma2", "llama", "mistral"})


class ServingStatus(StatusModel):
    """Whether one server loads the adapter as it was published."""

    server: str = Field(description="Name of the server.", max_length=40)
    loads: Loads = Field(description="Whether it loads the adapter and applies it as it was trained.")
    advice: str | None = Field(
        None, description="The flag to set, or why it does not load the adapter.", max_length=LONGEST_ADVICE
    )


class _Adapter(NamedTuple):
    """What of an adapter decides who loads it."""

    family: str
    rank: int
    serving_rank: int
    rank_stabilised: bool
    modules: tuple[str, ...]
    #: What every server but PEFT refuses, in words; None: nothing.
    special: str | None


def servers(config: Mapping[str, Any], *, family: str, serving_rank: int) -> list[ServingStatus]:
    """Return the table for an adapter, most used server first.

    `config`: its adapter_config.json with target_modules as a list; `family`: `model_type` of the base model;
    `serving_rank`: the least value of vLLM's --max-lora-rank that is enough.
    """
    adapter = _Adapter(
        family,
        config["r"],
        serving_rank,
        bool(config.get("use_rslora")),
        tuple(sorted({str(name).rpartition(".")[2] for name in config["target_modules"]})),
        _special(config),
    )
    return [
        _vllm(adapter),
        _sglang(adapter),
        _tgi_and_lorax(adapter),
        _llama_cpp(adapter),
        _ollama(adapter),
        _status("transformers with PEFT", "Yes"),
    ]


def _special(config: Mapping[str, Any]) -> str | None:
    if config.get("modules_to_save"):
        return "it does not load whole modules (modules_to_save)"
    if config.get("use_dora"):
        return "it has no DoRA"
    if config.get("bias", "none") != "none":
        return "it does not load trained biases"
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        return "it reads one rank and alpha for all layers"
    return None


def _status(server: str, loads: Loads, advice: str | None = None) -> ServingStatus:
    return ServingStatus(server=server, loads=loads, advice=advice)


def _unknown(server: str, adapter: _Adapter, advice: str = "") -> ServingStatus:
    text = f"whether it serves adapters of the family {adapter.family[:40]} was not looked up"
    return _status(server, "Unknown", f"{text}; {advice}" if advice else text)


def _vllm(adapter: _Adapter) -> ServingStatus:
    """Read vllm/lora/peft_helper.py: it refuses modules_to_save and DoRA, and scales rsLoRA by alpha / sqrt(r)."""
    if adapter.special is not None:
        return _status("vLLM", "No", adapter.special)
    if adapter.family in _NOT_VLLM:
        return _status("vLLM", "No", f"it serves {adapter.family} without adapters")
    flags = "--enable-lora"
    if adapter.serving_rank > _VLLM_DEFAULT_RANK:
        flags += f" --max-lora-rank {adapter.serving_rank}"
    if adapter.family not in _VLLM:
        return _unknown("vLLM", adapter, f"try {flags}")
    return _status("vLLM", "Yes", flags)


def _sglang(adapter: _Adapter) -> ServingStatus:
    """Read sglang/srt/lora: lora.py scales by alpha / r whatever use_rslora says (issue 40835 there)."""
    if adapter.special is not None:
        return _status("SGLang", "No", adapter.special)
    if adapter.rank_stabilised and adapter.rank > 1:
        return _status("SGLang", "No", "it scales by alpha / r: the adapter would be too weak (useRslora)")
    if strange := [name for name in adapter.modules if name not in _SGLANG_LAYERS]:
        return _status("SGLang", "No", f"it has no adapters on {strange[0][:60]}")
    if adapter.family not in _PLAIN:
        return _unknown("SGLang", adapter)
    return _status("SGLang", "Yes", f"--enable-lora --max-lora-rank {adapter.rank}")


def _tgi_and_lorax(adapter: _Adapter) -> ServingStatus:
    """Read adapters/lora.py of both: use_rslora is heeded, and tensors of unknown layers are left out."""
    if adapter.special is not None:
        return _status("TGI, LoRAX", "No", adapter.special)
    if adapter.family not in _LORAX:
        return _unknown("TGI, LoRAX", adapter)
    return _status("TGI, LoRAX", "Yes")


def _llama_cpp(adapter: _Adapter) -> ServingStatus:
    """Read convert_lora_to_gguf.py and llama-adapter.h: the scale is that of the command line times alpha / r."""
    if adapter.special is not None:
        return _status("llama.cpp", "No", adapter.special)
    if adapter.family not in _PLAIN | _OLLAMA:
        return _unknown("llama.cpp", adapter, "try convert_lora_to_gguf.py")
    advice = "convert it with convert_lora_to_gguf.py"
    if adapter.rank_stabilised and adapter.rank > 1:
        advice += f", and load it with the scale {math.sqrt(adapter.rank):.6g}: llama.cpp divides by r, not sqrt(r)"
    return _status("llama.cpp", "Yes", advice)


def _ollama(adapter: _Adapter) -> ServingStatus:
    """Read convert/convert.go: two architectures, and lora_alpha without use_rslora."""
    if adapter.special is not None:
        return _status("Ollama", "No", adapter.special)
    if adapter.rank_stabilised and adapter.rank > 1:
        return _status("Ollama", "No", "it scales by alpha / r: the adapter would be too weak (useRslora)")
    if adapter.family not in _OLLAMA:
        return _status("Ollama", "No", "it imports adapters for Llama, Mistral and Gemma 2 alone")
    return _status("Ollama", "Yes", "ADAPTER with this folder in a Modelfile")
