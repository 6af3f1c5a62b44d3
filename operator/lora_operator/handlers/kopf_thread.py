"""kopf in a thread with a loop of its own, each event handed over to the operator's own loop.

When kopf ends it cancels every task of its loop, which therefore cannot be the operator's. With scanning disabled it
needs no right to list CustomResourceDefinitions.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, cast

import aiohttp
import kopf

from lora_operator.effects.api.connection import login
from lora_operator.effects.cancellable_wait import is_set_within
from lora_operator.effects.kinds import Kind
from lora_operator.settings import Settings

#: A name for kopf's peering, which is not used. Found out by itself it needs a user name, which a pod has not.
_IDENTITY = "lora-operator"
_HEARTBEAT_SECONDS = 5.0
_STOP_SECONDS = 10.0
_CLOSE_SECONDS = 1.0

logger = logging.getLogger(__name__)


class KopfThread:
    """One life of kopf."""

    def __init__(
        self,
        kinds: Collection[Kind],
        settings: Settings,
        deliver: Callable[[Kind, Mapping[str, Any]], None],
        listed: Callable[[Kind, str | None], None],
    ) -> None:
        self.last_heartbeat = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._listed = listed
        self._watched = {
            kind.path(namespace): (kind, namespace)
            for kind in kinds
            for namespace in settings.watch_namespaces or (None,)
        }
        self._undelivered: deque[tuple[Kind, Mapping[str, Any]]] = deque()
        self._settings = settings
        self._registry = self._handlers(kinds)
        self._stop = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self._thread.start()

    async def ended_within(self, seconds: float) -> bool:
        """Wait for the end of the thread, at most so long."""
        return await is_set_within(self._ended, seconds)

    async def stop(self) -> None:
        """End the thread; one that does not is left behind, and nothing more is passed to it."""
        self._stop.set()
        if not await self.ended_within(_STOP_SECONDS):
            logger.error("kopf did not stop within %.0f s", _STOP_SECONDS)

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._operate())
        except Exception as error:
            logger.error("kopf ended: %s", error or type(error).__name__)
        finally:
            self._end()
            _close(loop)

    async def _operate(self) -> None:
        """Run kopf until the first of its tasks has ended, for then nothing is watched any more.

        kopf may hang from there on: a request that asks for new credentials waits for a task that was stopped before.
        """
        heartbeat = asyncio.create_task(self._beat())
        ours = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=self._registry,
            settings=kopf_settings(),
            identity=_IDENTITY,
            standalone=True,
            clusterwide=not self._settings.watch_namespaces,
            namespaces=self._settings.watch_namespaces,
            stop_flag=self._stop,
        )
        running = asyncio.create_task(kopf.run_tasks(tasks, ignored=ours))
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            self._end()
            for error in (task.exception() for task in ended if not task.cancelled()):
                if error is not None:
                    logger.error("kopf ended: %s", error or type(error).__name__)
            await asyncio.wait({running}, timeout=_STOP_SECONDS)
        finally:
            heartbeat.cancel()
            if running.done() and not running.cancelled():
                running.exception()  # logged above

    def _end(self) -> None:
        """Signal that nothing is watched any more; kopf waits for the flag in a thread, which would keep this one."""
        self._stop.set()
        self._call(self._ended.set)

    async def _beat(self) -> None:
        while True:
            self.last_heartbeat = time.monotonic()
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    def _handlers(self, kinds: Iterable[Kind]) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        tracing = aiohttp.TraceConfig()
        tracing.on_request_end.append(self._on_request_end)

        async def on_login(**_: Any) -> kopf.AiohttpSession:
            return await login(tracing)

        kopf.on.login(registry=registry)(on_login)
        for kind in kinds:
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)(self._handler(kind))
        return registry

    def _handler(self, kind: Kind) -> Callable[..., Any]:
        async def on_event(event: Mapping[str, Any], **_: Any) -> None:
            self._undelivered.append((kind, event))
            if len(self._undelivered) == 1:  # else the operator's loop is on its way already
                self._call(self._deliver_all)

        return on_event

    async def _on_request_end(
        self, session: aiohttp.ClientSession, context: object, request: aiohttp.TraceRequestEndParams
    ) -> None:
        """Report each list that kopf gets, at its first page: a list of our own that is asked for now is not older.

        kopf lists anew after 410 Gone and other ends of a watch, and tells handlers only what the list holds.
        """
        goes_on = {"watch", "continue"} & request.url.query.keys()
        if request.method != "GET" or goes_on or request.response.status != 200:
            return
        for path, (kind, namespace) in self._watched.items():
            if request.url.path.endswith(path):
                self._call(self._tell_listed, kind, namespace)

    def _tell_listed(self, kind: Kind, namespace: str | None) -> None:
        if not self._stop.is_set():
            self._listed(kind, namespace)

    def _deliver_all(self) -> None:
        """Hand over all events so far, in the operator's loop; waking that loop for each would cost more."""
        while self._undelivered:
            kind, event = self._undelivered[0]
            try:
                if not self._stop.is_set():
                    self._deliver(kind, event)
            except Exception:
                logger.exception("an event of %s could not be read", kind.plural)
            self._undelivered.popleft()

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the operator's loop has ended before the thread
            return


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left and close; unlike `asyncio.run`, do not wait for tasks that go on when they are cancelled."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=_CLOSE_SECONDS))
    loop.close()


class _NoDiffs(kopf.DiffBaseStorage):  # type: ignore[misc]
    """kopf copies every object to find out what changed in it, which nobody asks here."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        """Return None: there is nothing to compare."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Return None: nothing was stored."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Do nothing: nothing is stored."""


def kopf_settings() -> kopf.OperatorSettings:
    """Let kopf write and post nothing, and notice a dead watch within 70 s by its bookmarks."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.process.ultimate_exiting_timeout = None
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = (1, 2, 3, 5, 8, 10, 10, 10)
    settings.watching.server_timeout = 600
    settings.watching.client_timeout = 630
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 500
    settings.queueing.idle_timeout = 1.0
    for kind in Kind:
        if kind.selector:
            settings.watching.label_selectors[kopf_selector(kind)] = kind.selector
    return settings


def kopf_selector(kind: Kind) -> tuple[str, str, str]:
    """Name a kind as kopf does."""
    return kind.group, kind.version, kind.plural
