"""A queue of keys: one look at a key at a time, many requests for it become one, failures wait longer and longer."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from lora_operator.effects import metrics
from lora_operator.effects.cancellable_wait import is_set_within
from lora_operator.effects.errors import LONGEST_WAIT_SECONDS, ExpectedError

KeyT = TypeVar("KeyT")

_FIRST_WAIT_SECONDS = 0.5
#: While keys that go first come closer together than this, the others wait for them, but never longer than that.
_RUSH_GAP_SECONDS = 0.25
_RUSH_WAIT_SECONDS = 20.0

logger = logging.getLogger(__name__)


class WorkQueue(Generic[KeyT]):
    """Calls `process` for every key that was added, at the time it is due.

    `process` returns the seconds until the next look at that key, or None. Where it raises, the key is looked at
    again after a growing wait. In a rush of keys that go first the others wait, so that what happens to one of them
    meanwhile is one look, not many.
    """

    def __init__(self, process: Callable[[KeyT], Awaitable[float | None]], *, workers: int) -> None:
        self._process = process
        self._free = asyncio.Semaphore(workers)
        self._works = False
        self._due: dict[KeyT, float] = {}
        self._first: deque[KeyT] = deque()
        self._rush_ends = 0.0
        self._heap: list[tuple[float, int, KeyT]] = []
        self._sequence = 0
        self._active: dict[KeyT, asyncio.Task[None]] = {}
        self._failures: dict[KeyT, int] = {}
        self._changed = asyncio.Event()

    def add_first(self, key: KeyT) -> None:
        """Ask for a look at `key` before all that is due."""
        self._due[key] = min(time.monotonic(), self._due.get(key, float("inf")))
        self._first.append(key)
        self._changed.set()

    def add(self, key: KeyT, delay: float = 0.0) -> None:
        """Ask for a look at `key` in `delay` seconds; of several requests the earliest counts."""
        due = time.monotonic() + delay
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._push(key)

    async def run(self) -> None:
        """Work until cancelled. Looks that are under way are cancelled too; what waits is kept."""
        self._works = True
        try:
            while True:
                await self._free.acquire()
                key = await self._next()
                task = self._active[key] = asyncio.create_task(self._look(key))
                task.add_done_callback(lambda _, key=key: self._done(key))  # type: ignore[misc]
        finally:
            self._works = False
            unfinished = list(self._active.values())
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
            self._free.release()

    def measure(self) -> None:
        """Set the gauges of the queue. A standby hears of every change too, but nobody waits for it: 0."""
        now = time.monotonic()
        waiting = [due for due in self._due.values() if due <= now] if self._works else []
        metrics.QUEUE_DEPTH.set(len(waiting))
        metrics.QUEUE_OLDEST.set(now - min(waiting) if waiting else 0)

    def _push(self, key: KeyT) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (self._due[key], self._sequence, key))
        self._changed.set()

    async def _next(self) -> KeyT:
        """Take the next key that is due. A key under way stays in `_due` and comes back when its look is done."""
        while True:
            self._changed.clear()
            while self._first:
                if (key := self._first.popleft()) in self._due and key not in self._active:
                    del self._due[key]
                    self._rush_ends = time.monotonic() + _RUSH_GAP_SECONDS
                    return key
            now = time.monotonic()
            while self._heap and self._turn(self._heap[0][0]) <= now:
                due, _, key = heapq.heappop(self._heap)
                if self._due.get(key) == due and key not in self._active:
                    del self._due[key]
                    return key
            pause = self._turn(self._heap[0][0]) - now if self._heap else None
            await is_set_within(self._changed, pause)

    def _turn(self, due: float) -> float:
        """Return when a key that does not go first gets its turn."""
        return max(due, min(self._rush_ends, due + _RUSH_WAIT_SECONDS))

    def _done(self, key: KeyT) -> None:
        del self._active[key]
        self._free.release()
        if key in self._due:
            self._push(key)

    async def _look(self, key: KeyT) -> None:
        started = time.monotonic()
        try:
            again = await self._process(key)
        except Exception as error:
            metrics.RECONCILES.labels(result="error").inc()
            delay = self._wait(key, error)
            trace = None if isinstance(error, ExpectedError) else error
            logger.warning("%s: %s; next look in %.1f s", key, error, delay, exc_info=trace)
            self.add(key, delay)
        else:
            metrics.RECONCILES.labels(result="success").inc()
            self._failures.pop(key, None)
            if again is not None:
                self.add(key, again)
        finally:
            metrics.RECONCILE_SECONDS.observe(time.monotonic() - started)

    def _wait(self, key: KeyT, error: Exception) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        known, longest = None, LONGEST_WAIT_SECONDS
        if isinstance(error, ExpectedError):
            known, longest = error.retry_after, error.longest_wait
        wait = min(_FIRST_WAIT_SECONDS * 2 ** min(failures - 1, 16), longest)
        return known if known is not None else wait * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
