"""Greedy answers to held-out prompts, for people to read and for the gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import StoppingCriteria, StoppingCriteriaList

from lora_trainer.model.forward import ForwardPass, causal_model, generating
from lora_trainer.model_files.shape import POSITIONS, context_length

#: Prompts answered together.
BATCH = 16


class Answer(NamedTuple):
    """What a model generated: `text` for people, without special tokens; `tokens` with them, up to the stop token."""

    text: str = ""
    tokens: str = ""


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
    stops: Sequence[int],
    alive: Callable[[], None] = lambda: None,
) -> list[Answer]:
    """Generate the model's greedy answers to prompts given as token ids, in their order.

    An answer ends at the first of the tokens `stops`, or after `max_new_tokens`, or where the model has no position
    left. `alive` is called at every token.
    """
    device = next(model.parameters()).device
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    positions = _learned_positions(model)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    answers = [Answer()] * len(prompts)
    with generating(forward_pass, model), torch.no_grad():
        for first in range(0, len(order), BATCH):
            chosen = order[first : first + BATCH]
            longest = max(len(prompts[index]) for index in chosen)
            new_tokens = max_new_tokens if positions is None else min(max_new_tokens, positions - longest)
            if new_tokens < 1:
                continue
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
                max_new_tokens=new_tokens,
                eos_token_id=list(stops),
                pad_token_id=pad,
                stopping_criteria=StoppingCriteriaList([_Alive(alive)]),
            )
            for index, said in zip(chosen, output[:, longest:].tolist(), strict=True):
                end = next((at for at, token in enumerate(said) if token in stops), len(said))
                text = tokenizer.decode(said, skip_special_tokens=True)
                answers[index] = Answer(text.strip(), tokenizer.decode(said[:end], clean_up_tokenization_spaces=False))
    return answers


def _learned_positions(model: nn.Module) -> int | None:
    """Count the positions of a model that has a table of them; None: it computes them."""
    if not any(POSITIONS.search(f"{name}.weight") for name, _ in model.named_modules()):
        return None
    return context_length(causal_model(model).config.get_text_config().to_dict())
