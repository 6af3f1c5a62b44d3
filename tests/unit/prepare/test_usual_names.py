"""Sizes are found in config.json whatever a family calls them."""

from __future__ import annotations

from typing import Any

import pytest

from lora_trainer.model_files import shape

CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "bloom": {"n_embed": 32, "n_layer": 2, "n_head": 4},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
    "gpt_neo": {"hidden_size": 32, "num_layers": 2, "num_heads": 4},
    "llama": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
}


@pytest.mark.parametrize("family", CONFIGS)
def test_sizes_have_their_usual_names(family: str) -> None:
    config = {"model_type": family, "vocab_size": 320, **CONFIGS[family]}

    found = shape.with_usual_names(config)

    assert (found["hidden_size"], found["num_hidden_layers"], found["num_attention_heads"]) == (32, 2, 4)
    # What the family calls them stays beside.
    assert found.items() >= config.items()


def test_a_size_that_is_not_there_is_not_made_up() -> None:
    assert "num_hidden_layers" not in shape.with_usual_names({"model_type": "gpt2", "n_embd": 32, "vocab_size": 320})
