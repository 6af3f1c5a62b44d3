"""How many rows a forward pass takes, and whether activations are kept: arithmetic over the shape of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lora_trainer.model_files.shape import CHOSEN_KEYS, SHARED_KEYS

#: Target positions whose logits exist at the same time: 1024 x 128k x 2 bytes = 0.25 GiB.
LOGITS_AT_ONCE = 1024
#: Of these, how many are in float32 at a time: 128 x 49k x 4 bytes stay in a CPU's cache.
EXACT_LOGITS_AT_ONCE = 128
#: Rows a forward pass takes on a CPU: more gain nothing there.
CPU_MICRO_BATCH = 8
#: Share of the free memory that activations may take: the rest is for the optimiser, kernels and fragmentation.
_USABLE = 0.8
#: With this many tokens a pass a GPU is busy: larger passes only cost memory.
_ENOUGH_TOKENS = 16384
#: With fewer than this a GPU waits for the processor that launches its work.
_FEW_TOKENS = 1024


@dataclass(frozen=True)
class MemoryPlan:
    """Rows a forward pass, and whether activations are computed again in the backward pass instead of kept."""

    micro_batch_size: int
    activation_checkpointing: bool


def activation_bytes_per_token(config: Any, *, checkpointing: bool, bytes_per_value: int = 2) -> int:
    """Estimate what one token leaves in memory until its backward pass.

    Per layer: inputs of norms and projections, attention inputs and outputs (about 10 hidden sizes and the key and
    value heads), the MLP's three intermediates and their product. Measured on an H100 with a Llama of 8B parameters
    and adapters on all linear layers: 0.95 of that; three tenths are added for other models. One layer at a time exists
    twice, its gradients being as large. With checkpointing only each layer's input stays besides.
    """
    hidden = config.hidden_size
    intermediate = max(_largest(config, "intermediate_size") or 4 * hidden, _intermediate_of_experts(config))
    layer = (10 * hidden + 4 * intermediate) * bytes_per_value
    layers = config.num_hidden_layers
    kept = layers * hidden * bytes_per_value if checkpointing else int(1.3 * layers * layer)
    return kept + 2 * layer


def _intermediate_of_experts(config: Any) -> int:
    """Sum up the intermediate sizes of the experts of a token, shared ones included; 0: there are none."""
    size = _largest(config, "moe_intermediate_size", "intermediate_size")
    used = _largest(config, *CHOSEN_KEYS) + _largest(config, *SHARED_KEYS)
    return used * size + _largest(config, "shared_expert_intermediate_size")


def _largest(config: Any, *keys: str) -> int:
    """Read the first of these sizes that is stated, of its layers the largest where each has its own; 0: none is."""
    stated = next((found for key in keys if (found := getattr(config, key, None))), 0)
    return max(stated) if isinstance(stated, list | tuple) else int(stated)


def divisor_at_most(number: int, limit: int) -> int:
    """Find the largest divisor of `number` that is not above `limit`."""
    return next(size for size in range(max(1, min(limit, number)), 0, -1) if number % size == 0)


def plan_memory(
    config: Any,
    *,
    free_bytes: int,
    pass_tokens: Callable[[int], int],
    effective_batch_size: int,
    wanted: int | None,
    is_cuda: bool,
) -> MemoryPlan:
    """Plan the largest micro batch that divides the effective batch and fits; checkpointing only where it must be.

    `pass_tokens` gives the tokens of the largest forward pass with so many rows. `wanted`
    (spec.training.microBatchSize) is taken as it is. On the CPU activations are always kept.
    """
    if not is_cuda:
        return MemoryPlan(wanted or divisor_at_most(effective_batch_size, CPU_MICRO_BATCH), False)
    usable = int(free_bytes * _USABLE)

    def fits(rows: int, checkpointing: bool) -> bool:
        return pass_tokens(rows) * activation_bytes_per_token(config, checkpointing=checkpointing) <= usable

    if wanted is not None:
        return MemoryPlan(wanted, not fits(wanted, False))
    divisors = [rows for rows in range(effective_batch_size, 0, -1) if effective_batch_size % rows == 0]
    sizes = [rows for rows in divisors if pass_tokens(rows) <= _ENOUGH_TOKENS] or [1]
    kept = next((rows for rows in sizes if fits(rows, False)), None)
    if kept is not None and (kept == sizes[0] or pass_tokens(kept) >= _FEW_TOKENS):
        return MemoryPlan(kept, False)
    return MemoryPlan(next((rows for rows in sizes if fits(rows, True)), 1), True)


def evaluation_tokens(plan: MemoryPlan, longest: int) -> int:
    """Plan the tokens of an evaluation's batch on a GPU: no more rows than in training, which needs more for each."""
    return min(_ENOUGH_TOKENS, plan.micro_batch_size * longest)
