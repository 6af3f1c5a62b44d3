"""From what the watches see to looks at runs and sweeps, and the regular full look that does not rely on them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from lora_operator.core.manifests.network_policy import runs_policy
from lora_operator.effects.api.kube import Kube
from lora_operator.effects.cancellable_wait import is_set_within
from lora_operator.effects.errors import ExpectedError
from lora_operator.effects.kinds import Key, Kind
from lora_operator.effects.memory import allocator
from lora_operator.effects.memory.cache import Cache
from lora_operator.effects.memory.work_queue import WorkQueue
from lora_operator.settings import Settings

_RETRY_SECONDS = 2.0

logger = logging.getLogger(__name__)


class CacheFeeder:
    """Keeps the cache up to date and asks for looks."""

    def __init__(
        self, *, cache: Cache, kube: Kube, queue: WorkQueue[Key], sweeps: WorkQueue[Key], settings: Settings
    ) -> None:
        self._cache = cache
        self._kube = kube
        self._queue = queue
        self._sweeps = sweeps
        self._settings = settings
        cache.identical.look = queue.add
        cache.waiting_children.look = queue.add
        self._kinds_known = asyncio.Event()
        #: Kinds and namespaces whose watch began since they were listed here.
        self._begun: set[tuple[Kind, str | None]] = set()
        self._wake = asyncio.Event()
        self._next_resync = 0.0
        self._resyncing = asyncio.Lock()
        #: When the newest complete resync began, by the monotonic clock.
        self._resync_began = 0.0
        self.synced = False

    def changed(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Note that an object exists in this state."""
        self._look(self._cache.put(kind, body), kind, body)

    def deleted(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Note that an object is gone; this was its last state."""
        self._look(self._cache.remove(kind, body), kind, body)

    def served(self, kinds: frozenset[Kind]) -> None:
        """Note which kinds the API server serves from now on."""
        self._cache.serve(kinds)
        self._kinds_known.set()

    def listed(self, kind: Kind, namespace: str | None) -> None:
        """Note that a watch begins with a list made now: what was deleted before has to be found out."""
        self._begun.add((kind, namespace))
        self._wake.set()

    def failed(self) -> None:
        """Note that the watches ended as soon as they began."""
        self._next_resync = 0.0
        self._wake.set()

    async def run(self) -> None:
        """Look at everything every `resync_seconds`, and list again what a watch began with, until cancelled."""
        while True:
            self._wake.clear()
            try:
                if time.monotonic() >= self._next_resync:
                    await self.resync()
                for kind, namespace in self._lists():
                    if (kind, namespace) in self._begun:
                        await self._list(kind, namespace)
                allocator.trim()
            except ExpectedError as error:
                logger.warning("the objects are listed again: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                await is_set_within(self._wake, self._next_resync - time.monotonic())

    async def resync(self) -> None:
        """List all objects, forget those that are gone, and ask for a look at every run and sweep.

        Waits until it is known which kinds there are: a queued Job without its Workload would be misread. Who asks
        while others wait for the same list to begin gets that one.

        Raises:
            ExpectedError: the API server could not answer; the cache is as good as before.
        """
        asked = time.monotonic()
        await self._kinds_known.wait()
        async with self._resyncing:
            if self._resync_began < asked:
                await self._resync()

    async def _resync(self) -> None:
        began = time.monotonic()
        for kind, namespace in self._lists():
            await self._list(kind, namespace)
        self._next_resync = time.monotonic() + self._settings.resync_seconds
        await self._list_policies()
        self._cache.gone_pods.forget_old()
        for entry in self._cache.finetunes.entries():
            self._queue.add(entry.key)
        for sweep in self._cache.sweeps.entries():
            self._sweeps.add(sweep.key)
        self._resync_began = began
        self.synced = True

    def _lists(self) -> list[tuple[Kind, str | None]]:
        """Order what is listed."""
        namespaces = self._settings.watch_namespaces or (None,)
        return [(kind, namespace) for kind in Kind if kind in self._cache.served for namespace in namespaces]

    async def _list(self, kind: Kind, namespace: str | None) -> None:
        self._begun.discard((kind, namespace))
        turn = self._cache.turn(kind)
        keys: set[Key] = set()
        version = 0
        try:
            async for page in self._kube.pages(kind, namespace):
                version = page.version
                for body in page.items:
                    keys.add(Key(body["metadata"]["namespace"], body["metadata"]["name"]))
                    self._listed(kind, body, turn)
        except ExpectedError:
            self._begun.add((kind, namespace))
            raise
        for run in self._cache.keep_only(kind, keys, list_turn=turn, version=version, within=namespace):
            self._queue.add(run)

    def _listed(self, kind: Kind, body: Mapping[str, Any], turn: int) -> None:
        """Keep an object of a list; one that cannot be read must not keep all others from being seen."""
        try:
            self._look(self._cache.put(kind, body, list_turn=turn), kind, body)
        except Exception:
            logger.exception("an object of %s could not be read", kind.plural)

    async def _list_policies(self) -> None:
        """Find out where the NetworkPolicy for all run pods has to be made, or made anew."""
        if not self._settings.network_policies:
            return
        wanted = runs_policy("", self._settings)["spec"]
        found = [
            await self._kube.isolated_namespaces(namespace, wanted)
            for namespace in self._settings.watch_namespaces or (None,)
        ]
        self._cache.isolated = frozenset().union(*found)

    def _look(self, run: Key | None, kind: Kind, body: Mapping[str, Any]) -> None:
        """Ask for a look at a run, and at what depends on an object in this state.

        Runs that nobody has looked at, and those whose Job has ended, go first: work is started and results are
        reported before the progress of other work.
        """
        if run is not None:
            is_new = kind is Kind.FINETUNE and self._cache.is_new(run)
            add = self._queue.add_first if is_new or self._has_ended(kind, body) else self._queue.add
            add(run)
        if (sweep := self._cache.sweep_of(kind, body)) is not None:
            self._sweeps.add(sweep)

    def _has_ended(self, kind: Kind, body: Mapping[str, Any]) -> bool:
        if kind is not Kind.JOB:
            return False
        job = self._cache.jobs.get(Key(body["metadata"]["namespace"], body["metadata"]["name"]))
        return job is not None and job.value.finished
