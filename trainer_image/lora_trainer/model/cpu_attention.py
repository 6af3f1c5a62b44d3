"""Causal attention of many rows in bfloat16 on a CPU, about twice as fast as torch's own there.

The products of a block of queries with all keys before its end are single matrix products, for which CPUs have
bfloat16 instructions; torch's flash attention multiplies small tiles. Probabilities are computed again in the backward
pass, so nothing of the square of a row's length is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

#: Queries whose scores exist at the same time: keys after the last of them are never multiplied.
_BLOCK = 128


def attend(query: Tensor, key: Tensor, value: Tensor, bounds: list[int], scaling: float | None) -> Tensor:
    """Compute attention within each row, every position seeing itself and those before it.

    Shapes: query [1, heads, tokens, size], key and value [1, key heads, tokens, size]; result
    [1, tokens, heads, size]. Row n spans the tokens from `bounds[n]` to `bounds[n + 1]`.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    result: Tensor = _RowsAttention.apply(query, key, value, bounds, scale)
    return result


class _RowsAttention(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - torch calls it so
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bounds: list[int], scale: float
    ) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.bounds, ctx.scale = bounds, scale
        _, heads, tokens, _ = query.shape
        groups = key.shape[1]
        result = query.new_empty(tokens, groups, heads // groups, value.shape[-1])

        def row(start: int, stop: int) -> None:
            for first, end in _blocks(start, stop):
                queries = _grouped(query, groups, first, end)
                weights = _weights(queries, key[0, :, start:end], first - start, scale)
                result[first:end] = _ungrouped(torch.bmm(weights, value[0, :, start:end]), end - first)

        _each_row(row, bounds)
        return result.view(1, tokens, heads, -1)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Any:
        query, key, value = ctx.saved_tensors
        scale, groups, size = ctx.scale, key.shape[1], query.shape[-1]
        gradient = outputs[0].transpose(1, 2)
        of_query = query.new_empty(query.shape[2], groups, query.shape[1] // groups, size)
        of_key, of_value = torch.zeros_like(key), torch.zeros_like(value)

        def row(start: int, stop: int) -> None:
            for first, end in _blocks(start, stop):
                queries, slopes = _grouped(query, groups, first, end), _grouped(gradient, groups, first, end)
                keys, values = key[0, :, start:end], value[0, :, start:end]
                weights = _weights(queries, keys, first - start, scale)
                of_value[0, :, start:end].baddbmm_(weights.transpose(1, 2), slopes)
                of_weights = torch.bmm(slopes, values.transpose(1, 2))
                of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
                of_query[first:end] = _ungrouped(torch.bmm(of_scores, keys), end - first)
                of_key[0, :, start:end].baddbmm_(of_scores.transpose(1, 2), queries)

        _each_row(row, ctx.bounds)
        of_query = of_query.mul_(scale).flatten(1, 2).transpose(0, 1)[None]
        return of_query, of_key.mul_(scale), of_value, None, None


def _each_row(work: Callable[[int, int], None], bounds: list[int]) -> None:
    """Do the rows' work, each row on one core: products this small are not worth sharing, and waiting for, another."""
    rows = sorted(pairwise(bounds), key=lambda row: row[0] - row[1])
    threads = torch.get_num_threads()
    if threads == 1 or len(rows) == 1:
        for row in rows:
            work(*row)
        return

    def alone(row: tuple[int, int]) -> None:
        with torch.no_grad():
            work(*row)

    list(_workers(threads).map(alone, rows))


@lru_cache(maxsize=1)
def _workers(count: int) -> ThreadPoolExecutor:
    """Start threads that share no operator with others."""
    return ThreadPoolExecutor(count, "attention", initializer=torch.set_num_threads, initargs=(1,))


def _blocks(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Give first token and end of each block of a row's queries."""
    return ((first, min(first + _BLOCK, stop)) for first in range(start, stop, _BLOCK))


def _grouped(heads: Tensor, groups: int, first: int, end: int) -> Tensor:
    """Group the heads of tokens `first` to `end` by key head.

    Shapes: from [1, heads, tokens, size] to [groups, heads / groups * length, size].
    """
    return heads[0, :, first:end].reshape(groups, -1, heads.shape[-1])


def _ungrouped(block: Tensor, length: int) -> Tensor:
    """Undo `_grouped`: [length, groups, heads / groups, size]."""
    return block.view(block.shape[0], -1, length, block.shape[-1]).permute(2, 0, 1, 3)


def _weights(queries: Tensor, keys: Tensor, before: int, scale: float) -> Tensor:
    """Compute the probabilities of a block's queries over the `before` keys before the block and those of the block."""
    scores = torch.bmm(queries * scale, keys.transpose(1, 2))
    length = keys.shape[1] - before
    scores.view(queries.shape[0], -1, length, keys.shape[1])[..., before:] += _later(length, scores.dtype)
    return scores.softmax(-1)


@lru_cache(maxsize=2 * _BLOCK)
def _later(length: int, dtype: torch.dtype) -> Tensor:
    """Put minus infinity where a position would look at a later one, [length, length]."""
    return torch.full((length, length), float("-inf"), dtype=dtype).triu(1)
