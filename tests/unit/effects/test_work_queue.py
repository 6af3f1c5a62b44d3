"""The queue of keys ends when it is told to, at whatever moment: a leader that is replaced must let go."""

from __future__ import annotations

import asyncio

import pytest

from lora_operator.effects.work_queue import WorkQueue


async def nothing(_: str) -> None:
    """A look that finds nothing to do."""


@pytest.mark.parametrize("turns", range(6))
async def test_it_ends_also_where_a_key_comes_in_the_same_moment(turns: int) -> None:
    queue: WorkQueue[str] = WorkQueue(nothing, workers=1)
    queue.add("later", delay=3600)
    running = asyncio.create_task(queue.run())
    for _ in range(20):
        await asyncio.sleep(0)

    queue.add("sooner", delay=1800)
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()

    await asyncio.wait({running}, timeout=2)
    assert running.done()


async def test_a_key_that_goes_first_overtakes_all_that_are_due_and_is_looked_at_once() -> None:
    looks: list[str] = []

    async def look(key: str) -> None:
        looks.append(key)

    queue: WorkQueue[str] = WorkQueue(look, workers=1)
    for key in ("old", "older", "new"):
        queue.add(key)
    queue.add_first("new")
    running = asyncio.create_task(queue.run())
    for _ in range(50):  # turns of the loop, more than three looks and a fourth would need
        await asyncio.sleep(0)
    running.cancel()

    assert looks == ["new", "old", "older"]
