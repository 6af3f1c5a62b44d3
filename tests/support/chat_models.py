"""Tokenizers trained on the spot and the chat templates of well-known families; imports no torch."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN2_5 = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}" + CHATML
)
LLAMA3 = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
PHI3 = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set turns = messages[1:] %}"
    "{% else %}{% set turns = messages %}{% endif %}{{ bos_token }}{% for message in turns %}"
    "{% if message['role'] == 'user' %}{% if loop.last and system is defined %}"
    "{{ '[INST] ' + system + '\n\n' + message['content'] + '[/INST]' }}{% else %}"
    "{{ '[INST] ' + message['content'] + '[/INST]' }}{% endif %}"
    "{% else %}{{ ' ' + message['content'] | trim + eos_token }}{% endif %}{% endfor %}"
)
#: Thinks in the last turn only and strips it from earlier ones, as reasoning models do.
REASONING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """A chat template with the special tokens it writes."""

    template: str
    eos: str
    bos: str | None = None
    pad: str = "<|pad|>"
    more: tuple[str, ...] = ()
    #: Whether the template takes a system turn into the text.
    system: bool = True


_IM = ("<|im_start|>", "<|im_end|>")
FAMILIES = {
    "chatml": Family(CHATML, "<|im_end|>", more=_IM),
    "qwen2.5": Family(QWEN2_5, "<|im_end|>", more=_IM),
    "smollm2": Family(SMOLLM2, "<|im_end|>", more=_IM),
    "llama3": Family(LLAMA3, "<|eot_id|>", "<|begin_of_text|>", more=("<|start_header_id|>", "<|end_header_id|>")),
    "phi3": Family(PHI3, "<|endoftext|>", more=("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")),
    "gemma": Family(GEMMA, "<eos>", "<bos>", more=("<start_of_turn>", "<end_of_turn>"), system=False),
    "mistral": Family(MISTRAL, "</s>", "<s>", more=("[INST]", "[/INST]"), system=False),
    "marked": Family(MARKED, "<|im_end|>", more=_IM),
}

_CORPUS = (
    "The patient has a fever and a cough since two days.\n\nWhat should I do? Stay in bed, drink water.",
    "def answer(question):\n    return question + '\\n\\n'\n\n\nUrgent: call an ambulance now!",
    '{"urgency": "high", "symptoms": ["chest pain", "cold sweat"], "age": 54}',
    "Größe, naïve façade, 東京, emoji 🚑 and   spaces.\n\n\n\n",
)

#: Splits text into words; a run of line breaks stays together, as with Llama 3 and Qwen.
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@cache
def tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with the family's special tokens and template; it merges line breaks."""
    known = FAMILIES[family]
    special = sorted({known.pad, known.eos, *([known.bos] if known.bos else []), *known.more})
    inner = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(_WORDS), "isolated")
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    inner.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator([text for text in _CORPUS for _ in range(20)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=known.pad,
        eos_token=known.eos,
        bos_token=known.bos,
        additional_special_tokens=[token for token in known.more if token != known.eos],
        chat_template=known.template,
    )


CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 512,
}

_LAYER = {
    "self_attn.q_proj": (32, 32),
    "self_attn.k_proj": (16, 32),
    "self_attn.v_proj": (16, 32),
    "self_attn.o_proj": (32, 32),
    "mlp.gate_proj": (64, 32),
    "mlp.up_proj": (64, 32),
    "mlp.down_proj": (32, 64),
}


def tensor_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights that go with `CONFIG`."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (512, 32), "model.norm.weight": (32,)}
    for layer in range(2):
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in _LAYER.items()}
        shapes[f"model.layers.{layer}.input_layernorm.weight"] = (32,)
    return shapes | {"lm_head.weight": (512, 32)}


def write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]], in_bytes: frozenset[str] = frozenset()) -> None:
    """A safetensors file of zeros in BF16, but for those tensors that are named as bytes."""
    header: dict[str, Any] = {}
    offset = 0
    for name, shape in shapes.items():
        size = 1 if name in in_bytes else 2
        for length in shape:
            size *= length
        dtype = "U8" if name in in_bytes else "BF16"
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(offset))


def save_model(folder: Path, family: str = "chatml", **config: Any) -> Path:
    """A model directory as it would lie in S3: configuration, weights, tokenizer with chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    write_safetensors(folder / "model.safetensors", tensor_shapes())
    tokenizer(family).save_pretrained(str(folder))
    return folder
