"""Random models of a few thousand weights, one per family, and a tokenizer that goes with them."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models import (
    bloom,
    falcon,
    gemma2,
    gemma3,
    gpt2,
    gpt_bigcode,
    gpt_neo,
    gptj,
    llama,
    mistral,
    mpt,
    phi3,
    qwen2,
    qwen3,
)

from lora_contract.finetune import LoraSpec
from lora_trainer.batches.batch import Row
from lora_trainer.model.adapter import attach
from lora_trainer.model_files.shape import FOUR_BIT_MIXTURES

VOCABULARY = 320
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_IDS = {key: SHAPE[key] for key in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")}
#: As GPT-2 and those after it call their sizes.
_GPT2 = {**_IDS, "n_embd": 32, "n_layer": 2, "n_head": 4}
_WINDOW = {"sliding_window": 8}

CONFIGS: dict[str, Any] = {
    "llama": lambda: llama.LlamaConfig(**SHAPE),
    "llama-tied": lambda: llama.LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "qwen2": lambda: qwen2.Qwen2Config(**SHAPE),
    "qwen3": lambda: qwen3.Qwen3Config(**SHAPE),
    "mistral-window": lambda: mistral.MistralConfig(**SHAPE, **_WINDOW),
    "phi3": lambda: phi3.Phi3Config(**SHAPE),
    "gemma2-softcap-window": lambda: gemma2.Gemma2Config(**SHAPE, **_WINDOW, query_pre_attn_scalar=8),
    "gemma3-window": lambda: gemma3.Gemma3TextConfig(**SHAPE, **_WINDOW, query_pre_attn_scalar=8),
}

#: Families whose configurations name sizes as GPT-2 does, or that have an attention of their own.
OLDER_CONFIGS: dict[str, Any] = {
    "gpt2": lambda: gpt2.GPT2Config(**_GPT2, n_positions=512, n_inner=64),
    "gptj": lambda: gptj.GPTJConfig(**_GPT2, n_positions=512, rotary_dim=4),
    "gpt-bigcode": lambda: gpt_bigcode.GPTBigCodeConfig(**_GPT2, n_positions=512),
    "gpt-neo": lambda: gpt_neo.GPTNeoConfig(
        **_IDS, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]], window_size=8
    ),
    "bloom": lambda: bloom.BloomConfig(**_IDS, hidden_size=32, n_layer=2, n_head=4),
    "mpt": lambda: mpt.MptConfig(**_IDS, d_model=32, n_layers=2, n_heads=4, max_seq_len=512),
    "falcon": lambda: falcon.FalconConfig(**_IDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4),
}


#: Those of them whose attention can be replaced.
OLDER_WITHOUT_PADDING = ("gpt2", "gpt-bigcode")

#: Sizes of experts under the names of all families; each takes those that it knows.
EXPERTS: dict[str, Any] = {
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
_COMPRESSED_KEYS = {"num_key_value_heads": 4, "head_dim": 8}
_OWN_SIZES: dict[str, dict[str, Any]] = {"deepseek_v2": _COMPRESSED_KEYS, "deepseek_v3": _COMPRESSED_KEYS}


def _mixture(model_type: str) -> Any:
    """Configure a mixture of four experts, of which each token goes through two."""
    sizes = SHAPE | {"max_position_embeddings": 128} | EXPERTS | _OWN_SIZES.get(model_type, {})
    return AutoConfig.for_model(model_type, **sizes)


#: Every mixture whose experts are held in 4 bits, by model type.
MIXTURES: dict[str, Any] = {model_type: partial(_mixture, model_type) for model_type in FOUR_BIT_MIXTURES}


def tiny(family: str, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A random float32 model. Weights are larger than usual, so its answers differ clearly from row to row."""
    torch.manual_seed(seed)
    config = (CONFIGS | OLDER_CONFIGS | MIXTURES)[family]()
    for name, value in changes.items():
        setattr(config, name, value)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.mul_(5)
    return model


def adapted(family: str, dtype: torch.dtype = torch.float32) -> Any:
    """A tiny model with an adapter that already changes its answers."""
    return with_adapter(tiny(family).to(dtype))


def with_adapter(base: PreTrainedModel) -> Any:
    """A base model, on any device, with an adapter that already changes its answers; the same for the same shape."""
    base.requires_grad_(False)
    torch.manual_seed(0)
    model = attach(base, LoraSpec(r=4, alpha=8, dropout=0)).model
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    return model


def without_ours(model: Any) -> Any:
    """A copy that peft and transformers compute in their own way: nothing of ours is left in it."""
    plain = copy.deepcopy(model)
    for module in plain.modules():
        module.__dict__.pop("forward", None)
    return plain


def ragged_rows(count: int = 6, seed: int = 0, longest: int = 40) -> list[Row]:
    """Rows of very different length, targets at the end of each and here and there."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        length = int(random.integers(4, longest))
        targets = random.random(length) < 0.5
        targets[0], targets[-1] = False, True
        rows.append(Row(random.integers(3, VOCABULARY, length).astype(np.int32), targets))
    return rows


CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token a byte and a ChatML template; it needs no file from anywhere."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415

    special = ["<pad>", "<s>", "<|im_end|>", "<|im_start|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*special, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="<|im_end|>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
    )


def save_tiny(folder: Path, family: str = "llama-tied", *, seed: int = 0, **changes: Any) -> Path:
    """A model directory as it would lie in S3: config, safetensors, tokenizer with chat template.

    `changes` are to the model's configuration.
    """
    model = tiny(family, seed, **changes)
    model.generation_config.eos_token_id = 2
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
