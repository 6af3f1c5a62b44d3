"""How many rows go through the model at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lora_trainer.batches.prepared_rows import EffectiveBatches
from lora_trainer.planning.micro_batch import MemoryPlan, divisor_at_most, evaluation_tokens, plan_memory
from lora_trainer.processes.rank import Place

LLAMA_8B = SimpleNamespace(hidden_size=4096, intermediate_size=14336, num_hidden_layers=32)
GIB = 1 << 30


def plan(free: float, **changes: Any) -> MemoryPlan:
    longest = changes.pop("longest", 2048)
    options: dict[str, Any] = {"effective_batch_size": 32, "wanted": None, "is_cuda": True} | changes
    return plan_memory(LLAMA_8B, free_bytes=int(free * GIB), pass_tokens=lambda rows: rows * longest, **options)


def test_a_large_gpu_keeps_activations_and_a_small_one_computes_them_again() -> None:
    large, small = plan(70, longest=512), plan(8, longest=512)
    assert not large.activation_checkpointing
    assert small.activation_checkpointing
    assert large.micro_batch_size >= 4
    assert small.micro_batch_size >= 1


def test_the_micro_batch_divides_the_effective_batch() -> None:
    for effective in (1, 6, 7, 12, 30):
        for free in (2, 10, 40, 80):
            assert effective % plan(free, effective_batch_size=effective).micro_batch_size == 0
    assert divisor_at_most(30, 8) == 6


def test_a_pass_is_no_larger_than_keeps_a_gpu_busy_and_evaluations_take_no_more_rows() -> None:
    found = plan(1000, longest=4096)
    assert found == MemoryPlan(4, False)
    assert evaluation_tokens(found, 4096) == 16384
    assert evaluation_tokens(MemoryPlan(1, True), 4096) == 4096
    assert plan(1000, longest=100_000) == MemoryPlan(1, False)


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("count", [5, 24, 31])
def test_the_largest_micro_batch_is_found_without_making_any(processes: int, count: int) -> None:
    lengths = np.random.default_rng(1).integers(1, 100, count)
    seen = []
    for rank in range(processes):
        sampler = EffectiveBatches(
            count, effective_batch_size=12, micro_batch_size=2, seed=4, place=Place(rank, processes)
        )
        for epoch in range(3):
            sampler.set_epoch(epoch)
            seen += [int(lengths[batch].sum()) for batch in sampler if batch]
    assert sampler.largest(lengths, 3) == max(seen)


def test_a_micro_batch_that_the_user_states_is_taken() -> None:
    assert plan(2, wanted=16).micro_batch_size == 16
