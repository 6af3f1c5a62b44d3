"""Models of a well-known shape with random weights: speed and memory of a size that no package brings along.

What such a model says means nothing, so its losses compare ways of training and nothing else.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.initialization import no_init_weights

#: Public shapes of the Llama 3 family.
SHAPES: dict[str, dict[str, Any]] = {
    "llama-1b": {
        "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": True,
    },
    "llama-8b": {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8,
    },
}  # fmt: skip
_VOCABULARY = 128256


def write(folder: Path, shape: str, tokenizer: Path, *, seed: int = 0) -> Path:
    """Write a model directory with the tokenizer files of another one; its path.

    Weights are drawn on the GPU where there is one. Norms are one; all else has a deviation of 0.02.
    """
    folder.mkdir(parents=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = LlamaConfig(**SHAPES[shape], vocab_size=_VOCABULARY, max_position_embeddings=131072, rope_theta=500000.0)
    generator = torch.Generator(device).manual_seed(seed)
    with no_init_weights(), torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0) if "norm" in name else weight.normal_(std=0.02, generator=generator)
    model.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()
    for file in tokenizer.iterdir():
        if file.name.startswith(("tokenizer", "special_tokens", "chat_template")):
            shutil.copy(file, folder / file.name)
    return folder
