"""Attention without padding: the rows of a batch lie one after another, and no row sees another.

transformers calls the function registered here instead of its own (`AttentionInterface`). The bounds of the rows
travel with the batch as `cu_seq_lens_q`, the name that transformers uses for them. No mask is ever built, so the
work grows with the sum of the squared row lengths, not with the square of the longest.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

from lora_trainer.model import cpu_attention

NAME = "lora_padding_free"


class NotExpressibleError(Exception):
    """The model asks for an attention that this function cannot compute; the caller pads instead."""


def register() -> None:
    """Make `NAME` known to transformers; calling it again does no harm."""
    AttentionInterface.register(NAME, padding_free_attention)
    AttentionMaskInterface.register(NAME, _no_mask)


def _no_mask(*_args: Any, **_kwargs: Any) -> None:
    """Make no mask: rows are kept apart by their bounds."""


def padding_free_attention(
    _module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **_kwargs: Any,
) -> tuple[Tensor, None]:
    """Compute causal attention within each row.

    Shapes: query [1, heads, tokens, size], key and value [1, key heads, tokens, size]; result
    [1, tokens, heads, size]. `cu_seq_lens_q` [rows + 1] holds the first token of each row and the number of tokens.

    Raises:
        NotExpressibleError: attention sinks, or a model that does not hand the bounds on.
    """
    if s_aux is not None:
        raise NotExpressibleError("its attention uses sinks")
    if cu_seq_lens_q is None or query.shape[0] != 1:
        raise NotExpressibleError("it does not hand the bounds of the rows to its attention")
    if query.is_cuda and softcap is None and dropout == 0.0 and query.dtype in (torch.float16, torch.bfloat16):
        result = _varlen(
            query, key, value,
            scaling=scaling, sliding_window=sliding_window, bounds=cu_seq_lens_q, longest=max_length_q,
        )  # fmt: skip
        return result, None
    bounds = cu_seq_lens_q.tolist()
    lengths = [end - start for start, end in pairwise(bounds)]
    windowed = sliding_window is not None and max(lengths) > sliding_window
    if query.dtype == torch.bfloat16 and not query.is_cuda and softcap is None and dropout == 0.0 and not windowed:
        return cpu_attention.attend(query, key, value, bounds, scaling), None
    rows = [
        _one_row(*row, scaling=scaling, dropout=dropout, sliding_window=sliding_window, softcap=softcap)
        for row in zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    ]
    return torch.cat(rows, dim=2).transpose(1, 2), None


def _varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scaling: float | None,
    sliding_window: int | None,
    bounds: Tensor,
    longest: int | None,
) -> Tensor:
    """Compute all rows with one kernel."""
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - needs a CUDA build

    longest = longest or int((bounds[1:] - bounds[:-1]).max())
    window = (-1 if sliding_window is None else sliding_window - 1, 0)
    result = varlen_attn(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        bounds,
        bounds,
        longest,
        longest,
        scale=scaling,
        window_size=window,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return result.unsqueeze(0)


def _one_row(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scaling: float | None,
    dropout: float,
    sliding_window: int | None,
    softcap: float | None,
) -> Tensor:
    """Compute the attention of one row, [1, heads, length, size]."""
    length = query.shape[2]
    mask = None
    if sliding_window is not None and length > sliding_window:
        mask = _window(length, sliding_window, query.device)
    if softcap is None:
        return functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            is_causal=mask is None,
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    scores = query @ key.transpose(2, 3) * (scaling or query.shape[-1] ** -0.5)
    scores = softcap * torch.tanh(scores / softcap)
    visible = mask if mask is not None else _window(length, length, query.device)
    weights = scores.masked_fill(~visible, float("-inf")).softmax(-1, dtype=torch.float32).to(query.dtype)
    return functional.dropout(weights, dropout) @ value


def _window(length: int, window: int, device: torch.device) -> Tensor:
    """Mark where a position may look: at itself and the `window` - 1 positions before it."""
    positions = torch.arange(length, device=device)
    distance = positions[:, None] - positions[None, :]
    return (distance >= 0) & (distance < window)
