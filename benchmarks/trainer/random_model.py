"""Models of a well-known shape with random weights: speed and memory of a size that no package brings along.

What such a model says means nothing, so its losses compare ways of training and nothing else.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

_LLAMA, _QWEN3_MOE = "llama", "qwen3_moe"
#: Public shapes of the families Llama 3 and Qwen3, by model type, and tiny ones to try a benchmark with.
SHAPES: dict[str, dict[str, Any]] = {
    "llama-1b": {
        "model_type": _LLAMA, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": True,
    },
    "llama-8b": {
        "model_type": _LLAMA, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8,
    },
    "llama-70b": {
        "model_type": _LLAMA, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
        "num_attention_heads": 64, "num_key_value_heads": 8,
    },
    "qwen3-30b-a3b": {
        "model_type": _QWEN3_MOE, "hidden_size": 2048, "intermediate_size": 6144, "moe_intermediate_size": 768,
        "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128,
        "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": True,
    },
    "llama-tiny": {
        "model_type": _LLAMA, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2,
    },
    "qwen3-moe-tiny": {
        "model_type": _QWEN3_MOE, "hidden_size": 64, "intermediate_size": 128, "moe_intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "num_experts": 4,
        "num_experts_per_tok": 2,
    },
}  # fmt: skip
#: Values from which on weights are zeros in a file with holes: drawn, they would not fit the disk of most machines. The
#: time of a step does not depend on them.
_MOST_DRAWN = 20_000_000_000
_VOCABULARY = 128256


def write(folder: Path, shape: str, tokenizer: Path, *, seed: int = 0) -> Path:
    """Write a model directory with the tokenizer files of another one; its path.

    Weights are drawn on the GPU where there is one: norms are one, all else has a deviation of 0.02. Those of very
    large shapes are zeros.
    """
    folder.mkdir(parents=True)
    sizes = {"vocab_size": _VOCABULARY, "max_position_embeddings": 131072, **SHAPES[shape]}
    config = AutoConfig.for_model(sizes.pop("model_type"), **sizes)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    if sum(weight.numel() for weight in model.parameters()) > _MOST_DRAWN:
        _write_zeros(model, folder)
    else:
        _write_drawn(config, folder, seed)
    for file in tokenizer.iterdir():
        if file.name.startswith(("tokenizer", "special_tokens", "chat_template")):
            shutil.copy(file, folder / file.name)
    return folder


def _write_drawn(config: PretrainedConfig, folder: Path, seed: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator(device).manual_seed(seed)
    with no_init_weights(), torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0) if "norm" in name else weight.normal_(std=0.02, generator=generator)
    model.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()


def _write_zeros(model: PreTrainedModel, folder: Path) -> None:
    """Write configuration and a safetensors file whose weights are a hole; experts lie in the tensors of the model."""
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    header: dict[str, Any] = {}
    end = 0
    for name, weight in model.named_parameters():
        begin, end = end, end + 2 * weight.numel()
        header[name] = {"dtype": "BF16", "shape": list(weight.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
