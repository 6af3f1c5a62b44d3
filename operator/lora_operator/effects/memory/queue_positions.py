"""Places of waiting runs in their queues, from Kueue's visibility API where it is served.

That API cannot be watched and answers for a whole LocalQueue, so one request for each LocalQueue in which runs wait
serves all of them. Without it, runs wait just the same and show no place.
"""

from __future__ import annotations

import asyncio
import logging

from lora_contract.status import Phase
from lora_operator.effects.api.kube import Kube
from lora_operator.effects.errors import ExpectedError
from lora_operator.effects.kinds import Key
from lora_operator.effects.memory.cache import Cache
from lora_operator.effects.memory.work_queue import WorkQueue

_INTERVAL_SECONDS = 15.0

logger = logging.getLogger(__name__)


class QueuePositions:
    """Asks for places now and then, and for a look at the runs whose queue moved."""

    def __init__(self, *, cache: Cache, kube: Kube, queue: WorkQueue[Key]) -> None:
        self._cache = cache
        self._kube = kube
        self._queue = queue

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            waiting = self._waiting() if self._cache.kueue_installed else {}
            self._cache.keep_positions(waiting)
            for local_queue, runs in waiting.items():
                await self._ask(local_queue, runs)

    def _waiting(self) -> dict[Key, list[Key]]:
        """Group the runs that wait by their LocalQueue."""
        found: dict[Key, list[Key]] = {}
        for entry in self._cache.finetunes.entries():
            status = entry.value.status
            if status.phase == Phase.QUEUED and status.queue is not None:
                found.setdefault(Key(entry.key.namespace, status.queue.local_queue), []).append(entry.key)
        return found

    async def _ask(self, local_queue: Key, runs: list[Key]) -> None:
        try:
            positions = await self._kube.queue_positions(local_queue)
        except ExpectedError as error:
            logger.debug("no places in queue %s: %s", local_queue, error)
            positions = {}
        if self._cache.set_positions(local_queue, positions):
            for run in runs:
                self._queue.add(run)
