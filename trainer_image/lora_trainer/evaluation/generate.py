"""Greedy answers to held-out prompts, for people to read and for the gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import StoppingCriteria, StoppingCriteriaList

from lora_trainer.model.forward import ForwardPass, causal_model, generating

#: Prompts answered together.
BATCH = 16


class _Alive(StoppingCriteria):
    """Calls a function at every generated token and never stops."""

    def __init__(self, alive: Callable[[], None]) -> None:
        self.alive = alive

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_kwargs: Any) -> torch.Tensor:
        self.alive()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def answer(
    forward_pass: ForwardPass,
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    alive: Callable[[], None] = lambda: None,
) -> list[str]:
    """The model's greedy answers to prompts given as token ids, without special tokens, in their order."""
    device = next(model.parameters()).device
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    stops = stop_tokens(model, tokenizer)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    answers = [""] * len(prompts)
    with generating(forward_pass, model), torch.no_grad():
        for first in range(0, len(order), BATCH):
            chosen = order[first : first + BATCH]
            longest = max(len(prompts[index]) for index in chosen)
            padding = [longest - len(prompts[index]) for index in chosen]
            ids = [[pad or 0] * n + list(prompts[i]) for n, i in zip(padding, chosen, strict=True)]
            mask = [[0] * n + [1] * (longest - n) for n in padding]
            output = causal_model(model).generate(
                input_ids=torch.tensor(ids, device=device),
                attention_mask=torch.tensor(mask, device=device),
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                max_new_tokens=max_new_tokens,
                eos_token_id=stops,
                pad_token_id=pad,
                stopping_criteria=StoppingCriteriaList([_Alive(alive)]),
            )
            texts = tokenizer.batch_decode(output[:, longest:], skip_special_tokens=True)
            for index, text in zip(chosen, texts, strict=True):
                answers[index] = text.strip()
    return answers


def stop_tokens(model: nn.Module, tokenizer: Any) -> list[int]:
    """Tokens that end an answer: those of the model's generation config and of the tokenizer."""
    configured = causal_model(model).generation_config.eos_token_id
    known = configured if isinstance(configured, list) else [configured]
    return sorted({token for token in (*known, tokenizer.eos_token_id) if token is not None})
