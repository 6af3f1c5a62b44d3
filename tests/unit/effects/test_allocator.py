"""Memory that was freed goes back to the system."""

from __future__ import annotations

import psutil

from lora_operator.effects.memory import allocator

_MIB = 2**20


def test_freed_memory_goes_back_to_the_system() -> None:
    # Many small pieces are freed below one that stays, so that the C library keeps their place
    pieces = [bytes(2000) for _ in range(50_000)]
    stays = bytes(2000)
    pieces.clear()
    before = psutil.Process().memory_info().rss
    allocator.trim()
    assert before - psutil.Process().memory_info().rss > 50 * _MIB
    assert len(stays) == 2000
