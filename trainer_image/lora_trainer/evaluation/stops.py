"""Where answers end: what was trained, is measured here, and is published for servers must be the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from lora_trainer.model.forward import causal_model


@dataclass(frozen=True)
class Stops:
    """Ids of tokens that end an answer: `trained` in the rows, most frequent first; `served` by the base's servers."""

    trained: tuple[int, ...]
    served: tuple[int, ...]

    @property
    def all(self) -> list[int]:
        """Each of them once."""
        return list(dict.fromkeys((*self.trained, *self.served)))

    @property
    def unserved(self) -> list[int]:
        """Those at which a server of the base model does not stop unless it is told."""
        return [token for token in self.trained if token not in self.served]


def find(model: nn.Module, tokenizer: Any, trained: Sequence[int]) -> Stops:
    """Put together what ends an answer.

    Servers stop at what the model's generation config lists and at the end token of the tokenizer (transformers'
    `generate`, vLLM's `SamplingParams.update_from_generation_config`).
    """
    configured = causal_model(model).generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    served = sorted({token for token in (*listed, tokenizer.eos_token_id) if token is not None})
    return Stops(tuple(trained), tuple(served))
