"""The queue of keys ends when it is told to, at whatever moment: a leader that is replaced must let go."""

from __future__ import annotations

import asyncio

import pytest

from lora_operator.effects import metrics
from lora_operator.effects.memory.work_queue import WorkQueue


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

    over = asyncio.Event()

    async def look(key: str) -> None:
        looks.append(key)
        if key == "last":
            over.set()

    queue: WorkQueue[str] = WorkQueue(look, workers=1)
    for key in ("old", "older", "new", "last"):
        queue.add(key)
    queue.add_first("new")
    running = asyncio.create_task(queue.run())
    async with asyncio.timeout(5):
        await over.wait()
    running.cancel()

    assert looks == ["new", "old", "older", "last"]


async def looks_in_a_rush(firsts: list[str]) -> list[str]:
    """The order of looks where one key is due and others, that go first, come one after the other."""
    looks: list[str] = []
    coming = iter(firsts)
    over = asyncio.Event()

    async def look(key: str) -> None:
        looks.append(key)
        if key == "due":
            over.set()
        elif (following := next(coming, None)) is not None:
            await asyncio.sleep(0.01)
            queue.add_first(following)

    queue: WorkQueue[str] = WorkQueue(look, workers=2)
    queue.add("due")
    queue.add_first(next(coming))
    running = asyncio.create_task(queue.run())
    async with asyncio.timeout(5):
        await over.wait()
    running.cancel()
    return looks


async def test_in_a_rush_of_keys_that_go_first_the_others_wait() -> None:
    assert await looks_in_a_rush(["a", "b", "c"]) == ["a", "b", "c", "due"]


async def test_they_do_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lora_operator.effects.memory.work_queue._RUSH_WAIT_SECONDS", 0.015)
    looks = await looks_in_a_rush([f"new-{number}" for number in range(100)])
    assert len(looks) < 50


async def test_a_standby_reports_no_backlog_of_what_the_leader_looks_at() -> None:
    looked = asyncio.Event()

    async def look(_: str) -> None:
        looked.set()

    # A standby learns of every change as well, and looks at nothing
    queue: WorkQueue[str] = WorkQueue(look, workers=1)
    queue.add("triage")
    queue.measure()
    assert metrics.QUEUE_DEPTH._value.get() == 0
    assert metrics.QUEUE_OLDEST._value.get() == 0

    # Once it leads, what waits counts
    running = asyncio.create_task(queue.run())
    async with asyncio.timeout(5):
        await looked.wait()
    queue.add("triage")
    queue.measure()
    assert metrics.QUEUE_DEPTH._value.get() == 1
    running.cancel()
