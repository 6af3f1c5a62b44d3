"""kopf's watches of all kinds, kept running.

kopf ends when the API server answers with errors for too long; here it is started again, and nothing else notices.
Which kinds are served is asked now and then, so Kueue and the sweeps' definition may come and go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Protocol

from lora_operator.effects import metrics
from lora_operator.effects.api.kube import Kube
from lora_operator.effects.errors import ExpectedError
from lora_operator.effects.kinds import REQUIRED, Kind
from lora_operator.handlers.kopf_thread import KopfThread
from lora_operator.settings import Settings

_ASK_AGAIN_SECONDS = 10.0
#: Before the first answer nothing else can begin.
_FIRST_ANSWER_SECONDS = 2.0
_RESTART_SECONDS = 1.0
#: kopf gives an API server that is away about a minute; a life shorter than this is a defect of ours or of the image.
_SHORT_LIFE_SECONDS = 10.0
_ENDED = "kopf ended"

logger = logging.getLogger(__name__)


class EtcdRestoredError(Exception):
    """The API server went back to an earlier moment: nothing that this process knows can be relied on."""


class Receiver(Protocol):
    """What receives, in the operator's loop, what the watches see."""

    def changed(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Take in that an object exists in this state."""

    def deleted(self, kind: Kind, body: Mapping[str, Any]) -> None:
        """Take in that an object is gone; this was its last state."""

    def served(self, kinds: frozenset[Kind]) -> None:
        """Take in which kinds the API server serves from now on."""

    def listed(self, kind: Kind, namespace: str | None) -> None:
        """Take in that a watch begins with a list made now: what was deleted before is not reported."""

    def failed(self) -> None:
        """Take in that the watches ended as soon as they began: what happens meanwhile is not reported."""


class Watches:
    """Keeps kopf running over the kinds that are served."""

    def __init__(self, *, settings: Settings, kube: Kube, receiver: Receiver) -> None:
        self._settings = settings
        self._kube = kube
        self._receiver = receiver
        self._kopf: KopfThread | None = None
        self._failing_since: float | None = None
        self._revision = 0
        self._serves: dict[Kind, bool] = {}

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
        """Watch until cancelled.

        Raises:
            EtcdRestoredError: etcd was put back to an earlier moment.
        """
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
            await self._check_revision()
        return _ENDED

    async def _check_revision(self) -> None:
        """Find out whether etcd was put back to an earlier moment.

        What is known of its kinds would be of two timelines until all are listed anew, and a watch from a later
        revision would wait for its return. So the process has to begin anew, as the documentation of Kubernetes asks of
        all components after a restore.
        """
        try:
            revision = await self._kube.revision(next(iter(self._settings.watch_namespaces), None))
        except ExpectedError:
            return
        before, self._revision = self._revision, revision
        if revision < before:
            raise EtcdRestoredError(f"the API server went back from version {before} to {revision}")

    async def _served(self) -> frozenset[Kind] | None:
        """Return the kinds to watch; None: one that is needed is not served, or it was never said whether one is.

        Where there is no answer the one before counts: watches that ended must not wait for an API server that is
        overloaded to answer for every kind at once.
        """
        for kind in Kind:
            try:
                self._serves[kind] = await self._kube.serves(kind)
            except ExpectedError as error:
                logger.warning("the API server does not say whether it serves %s: %s", kind.plural, error)
        if len(self._serves) < len(Kind):
            return None
        served = frozenset(kind for kind in Kind if self._serves[kind])
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
