"""The runs under way by what they train, in the order in which identical ones go.

N copies of one run ask for the one before them whenever something happens to them: each question and each change costs
O(log N), never a look at all copies.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from lora_operator.core.observe.observed import IdenticalRun, Identity
from lora_operator.effects.kinds import Key

#: Entries of a heap that may be out of date before it is built anew.
_SPARE = 64


class Rank(NamedTuple):
    """Where a run stands among identical ones: those that started go first, then the older."""

    waits: bool
    created: datetime
    uid: str


class _Line:
    """Runs by rank. Ranks that changed stay in the heap until they come up, or are too many."""

    def __init__(self) -> None:
        self._ranks: dict[str, Rank] = {}
        self._heap: list[Rank] = []

    def __len__(self) -> int:
        return len(self._ranks)

    def put(self, rank: Rank) -> None:
        """Give a run its place."""
        if self._ranks.get(rank.uid) == rank:
            return
        self._ranks[rank.uid] = rank
        heapq.heappush(self._heap, rank)
        if len(self._heap) > 2 * len(self._ranks) + _SPARE:
            self._heap = sorted(self._ranks.values())

    def discard(self, uid: str) -> None:
        """Take a run out."""
        self._ranks.pop(uid, None)

    def first(self, besides: str | None = None) -> str | None:
        """Find the uid of the first run that is not `besides`; None where there is no other."""
        aside = None
        while self._heap:
            rank = self._heap[0]
            if self._ranks.get(rank.uid) == rank and rank.uid != besides:
                break
            heapq.heappop(self._heap)
            if self._ranks.get(rank.uid) == rank:
                aside = rank
        found = self._heap[0].uid if self._heap else None
        if aside is not None:
            heapq.heappush(self._heap, aside)
        return found


class _Group:
    """The runs of one identity, by LocalQueue, and those that train whatever their queue is."""

    def __init__(self) -> None:
        self.queues: dict[str | None, _Line] = {}
        self.running = _Line()

    def put(self, run: IdenticalRun) -> None:
        """Give a run its places."""
        rank = Rank(not run.started, run.created, run.uid)
        if run.started or not run.refused:
            self.queues.setdefault(run.queue, _Line()).put(rank)
        if run.running:
            self.running.put(rank)

    def discard(self, run: IdenticalRun) -> None:
        """Take a run out of its places."""
        self.running.discard(run.uid)
        if (line := self.queues.get(run.queue)) is not None:
            line.discard(run.uid)
            if not line:
                del self.queues[run.queue]

    def firsts(self, queue: str | None) -> tuple[str | None, str | None]:
        """Find who goes first in a queue, and who of those that train."""
        line = self.queues.get(queue)
        return line.first() if line is not None else None, self.running.first()


class IdenticalIndex:
    """The runs under way. `look` is called with each run whose turn it may be now."""

    def __init__(self) -> None:
        self.look: Callable[[Key], None] = lambda key: None
        self._runs: dict[str, IdenticalRun] = {}
        self._groups: dict[Identity, _Group] = {}

    def update(self, uid: str, run: IdenticalRun | None) -> None:
        """Note how far a run is; None: it is not under way, or its identity is not known."""
        before = self._runs.get(uid)
        if before == run:
            return
        if before is not None and (run is None or before.place != run.place):
            del self._runs[uid]
            self._change(before, None)
            before = None
        if run is not None:
            self._runs[uid] = run
            self._change(before, run)

    def ahead_of(self, identity: Identity, uid: str, queue: str | None) -> list[IdenticalRun]:
        """Find the first other run of the queue, and the first other that trains: no run but these may go before."""
        group = self._groups.get(identity)
        if group is None:
            return []
        line = group.queues.get(queue)
        found = {line.first(besides=uid) if line is not None else None, group.running.first(besides=uid)}
        return [self._runs[each] for each in found if each is not None]

    def _change(self, before: IdenticalRun | None, run: IdenticalRun | None) -> None:
        """Move a run within the group and queue that it has before and after."""
        some = before or run
        if some is None:
            return
        group = self._groups.setdefault(some.identity, _Group())
        first, running = group.firsts(some.queue)
        if before is not None:
            group.discard(before)
        if run is not None:
            group.put(run)
        if not group.queues and not group.running:
            del self._groups[some.identity]
        now_first, now_running = group.firsts(some.queue)
        turns = {now_first} if now_first != first else set()
        if now_running != running:
            turns |= {line.first() for line in group.queues.values()}
        for uid in turns - {None, some.uid}:
            other = self._runs[str(uid)]
            self.look(Key(other.identity.namespace, other.name))
