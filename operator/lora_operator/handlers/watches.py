"""kopf's watches of all kinds, each event handed over to the operator's own loop.

kopf runs in a thread with a loop of its own. It ends when the API server answers with errors for too long, and
cancels every task of its loop then; here it is started again, and nothing else notices. With scanning disabled
it needs no right to list CustomResourceDefinitions; which kinds are served is asked now and then instead, so
Kueue and the sweeps' definition may come and go.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol, cast

import aiohttp
import kopf

from lora_operator.effects import metrics
from lora_operator.effects.connection import login
from lora_operator.effects.kinds import REQUIRED, Kind
from lora_operator.effects.kube import Kube
from lora_operator.effects.waiting import is_set_within
from lora_operator.effects.work_queue import ExpectedError
from lora_operator.settings import Settings

_ASK_AGAIN_SECONDS = 10.0
#: Before the first answer nothing else can begin.
_FIRST_ANSWER_SECONDS = 2.0
_RESTART_SECONDS = 1.0
#: kopf gives an API server that is away about a minute; a life shorter than this is a defect of ours or of the image.
_SHORT_LIFE_SECONDS = 10.0
#: A name for kopf's peering, which is not used. Found out by itself it needs a user name, which a pod has not.
_IDENTITY = "lora-operator"
_ENDED = "kopf ended"
_HEARTBEAT_SECONDS = 5.0
_STOP_SECONDS = 10.0

logger = logging.getLogger(__name__)


class Receiver(Protocol):
    """Who is told what the watches see, in the operator's loop."""

    def changed(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """An object exists in this state."""

    def deleted(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """An object is gone; this was its last state."""

    def served(self, kinds: frozenset[Kind]) -> None:
        """Which kinds the API server serves from now on."""

    def listed(self, kind: Kind, namespace: str | None) -> None:
        """A watch begins with a list that was made now: nobody tells what was deleted before."""

    def failed(self) -> None:
        """The watches ended as soon as they began: nobody tells what happens meanwhile."""


class Watches:
    """Keeps kopf running over the kinds that are served."""

    def __init__(self, *, settings: Settings, kube: Kube, receiver: Receiver) -> None:
        self._settings = settings
        self._kube = kube
        self._receiver = receiver
        self._kopf: KopfThread | None = None
        self._failing_since: float | None = None
        self._revision = 0

    @property
    def last_heartbeat(self) -> float | None:
        """When kopf's loop last turned, by the monotonic clock; None while it is not meant to run.

        While kopf ends again and again as soon as it started, the first of these starts: the operator would still
        work by its full looks, late and half blind, so the probe of liveness has to fail.
        """
        if self._failing_since is not None:
            return self._failing_since
        return self._kopf.last_heartbeat if self._kopf is not None else None

    async def run(self) -> None:
        """Watch until cancelled."""
        cause = "start"
        while True:
            kinds = await self._served()
            if kinds is None:
                await asyncio.sleep(_FIRST_ANSWER_SECONDS if cause == "start" else _ASK_AGAIN_SECONDS)
                continue
            metrics.WATCH_STARTS.labels(cause=cause).inc()
            self._receiver.served(kinds)
            started = time.monotonic()
            thread = self._kopf = KopfThread(kinds, self._settings, self._deliver, self._receiver.listed)
            try:
                cause = await self._until_stale(thread, kinds)
            finally:
                self._kopf = None
                await thread.stop()
            failed = cause == _ENDED and time.monotonic() - started < _SHORT_LIFE_SECONDS
            self._failing_since = (self._failing_since or started) if failed else None
            if failed:
                self._receiver.failed()
            await asyncio.sleep(_RESTART_SECONDS)

    async def _until_stale(self, thread: KopfThread, kinds: frozenset[Kind]) -> str:
        while not await thread.ended_within(_ASK_AGAIN_SECONDS):
            self._failing_since = None
            served = await self._served()
            if served is not None and served != kinds:
                return "kinds changed"
            if await self._went_back():
                return "etcd restored"
        return _ENDED

    async def _went_back(self) -> bool:
        """Whether etcd was put back to an earlier moment: a watch from a later one would wait for its return."""
        try:
            revision = await self._kube.revision(next(iter(self._settings.watch_namespaces), None))
        except ExpectedError:
            return False
        before, self._revision = self._revision, revision
        if revision < before:
            logger.warning(
                "the API server went back from version %d to %d; everything is listed anew", before, revision
            )
        return revision < before

    async def _served(self) -> frozenset[Kind] | None:
        """The kinds to watch; None while one that is needed is not served, or the API server does not say."""
        try:
            served = frozenset([kind for kind in Kind if await self._kube.serves(kind)])
        except ExpectedError as error:
            logger.warning("the API server does not say what it serves: %s", error)
            return None
        missing = [kind.plural for kind in REQUIRED if kind not in served]
        if missing:
            logger.warning("waiting for the API server to serve %s", ", ".join(missing))
            return None
        return served

    def _deliver(self, kind: Kind, event: Mapping[str, Any]) -> None:
        metrics.LAST_EVENT.labels(resource=kind.plural).set_to_current_time()
        if event["type"] == "DELETED":
            self._receiver.deleted(kind, event["object"])
        else:
            self._receiver.changed(kind, event["object"])


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
        """End the thread; one that does not is left behind and told nothing more."""
        self._stop.set()
        if not await self.ended_within(_STOP_SECONDS):
            logger.error("kopf did not stop within %.0f s", _STOP_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._operate())
        except Exception as error:
            logger.error("kopf ended: %s", error or type(error).__name__)
        finally:
            self._stop.set()
            self._call(self._ended.set)

    async def _operate(self) -> None:
        heartbeat = asyncio.create_task(self._beat())
        try:
            await kopf.operator(
                registry=self._registry,
                settings=kopf_settings(),
                identity=_IDENTITY,
                standalone=True,
                clusterwide=not self._settings.watch_namespaces,
                namespaces=self._settings.watch_namespaces,
                stop_flag=self._stop,
            )
        finally:
            self._stop.set()  # kopf waits for it in a thread, which would keep this one from ending
            heartbeat.cancel()

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
        """Tell of each list that kopf gets, at its first page: a list of our own that is asked for now is not older.

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
        """In the operator's loop: hand over all events so far; waking that loop for each would cost more."""
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


class _NoDiffs(kopf.DiffBaseStorage):  # type: ignore[misc]
    """kopf copies every object to find out what changed in it, which nobody asks here."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        """Nothing to compare."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Nothing was stored."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing is stored."""


def kopf_settings() -> kopf.OperatorSettings:
    """kopf writes nothing to any object and posts nothing; a dead watch is noticed within 70 s by its bookmarks."""
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
    """How kopf names a kind."""
    return kind.group, kind.version, kind.plural
