"""How many rows a forward pass takes, and whether activations are kept: arithmetic over the shape of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Target positions whose logits exist at the same time: 1024 x 128k x 2 bytes = 0.25 GiB.
LOGITS_AT_ONCE = 1024
#: Of these, how many are in float32 at a time: 128 x 49k x 4 bytes stay in a CPU's cache.
EXACT_LOGITS_AT_ONCE = 128
#: Rows a forward pass takes on a CPU: more gain nothing there.
CPU_MICRO_BATCH = 8
#: Share of the free memory that activations may take: the rest is for the optimiser, kernels and fragmentation.
_USABLE = 0.8


@dataclass(frozen=True)
class MemoryPlan:
    """Rows a forward pass, and whether activations are computed again in the backward pass instead of kept."""

    micro_batch_size: int
    activation_checkpointing: bool


def activation_bytes_per_token(config: Any, *, checkpointing: bool, bytes_per_value: int = 2) -> int:
    """Estimate of what one token leaves in memory until its backward pass.

    Per layer: inputs of norms and projections, attention inputs and outputs (about 10 hidden sizes and the key and
    value heads), the MLP's three intermediates and their product, each once more for the adapters' casts. With
    checkpointing only each layer's input stays, and one layer's activations exist at a time.
    """
    hidden = config.hidden_size
    intermediate = getattr(config, "intermediate_size", None) or 4 * hidden
    layer = 2 * (10 * hidden + 4 * intermediate) * bytes_per_value
    layers = config.num_hidden_layers
    return layers * hidden * bytes_per_value + layer if checkpointing else layers * layer


def divisor_at_most(number: int, limit: int) -> int:
    """The largest divisor of `number` that is not above `limit`."""
    return next(size for size in range(max(1, min(limit, number)), 0, -1) if number % size == 0)


def plan_memory(
    config: Any, *, free_bytes: int, max_length: int, effective_batch_size: int, wanted: int | None, is_cuda: bool
) -> MemoryPlan:
    """The largest micro batch that divides the effective batch and fits; checkpointing only where it must be.

    `wanted` (spec.training.microBatchSize) is taken as it is. On the CPU activations are always kept.
    """
    if not is_cuda:
        return MemoryPlan(wanted or divisor_at_most(effective_batch_size, CPU_MICRO_BATCH), False)
    usable = int(free_bytes * _USABLE)

    def fits(rows: int, checkpointing: bool) -> bool:
        return rows * max_length * activation_bytes_per_token(config, checkpointing=checkpointing) <= usable

    if wanted is not None:
        return MemoryPlan(wanted, not fits(wanted, False))
    # Beyond 16k tokens a pass a GPU is busy, and larger passes only cost memory.
    enough = max(1, 16384 // max_length)
    for checkpointing in (False, True):
        rows = min(enough, usable // (max_length * activation_bytes_per_token(config, checkpointing=checkpointing)))
        if rows >= min(enough, 4, effective_batch_size) or (checkpointing and rows >= 1):
            return MemoryPlan(divisor_at_most(effective_batch_size, rows), checkpointing)
    return MemoryPlan(1, True)
