"""Liveness, readiness and metrics over HTTP. Every answer is computed at once, so none can hang."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

#: After so long without a turn of a loop that should turn every few seconds, a restart is the cure.
STUCK_SECONDS = 60.0


class Health:
    """The handlers of the port for probes and metrics.

    `heartbeats` says by name when each loop last turned (monotonic; None: it is not meant to turn now). The
    handlers share the operator's own loop: where that is stuck, they do not answer, and the kubelet restarts it.
    An API server that is away is no reason for a restart.
    """

    def __init__(
        self,
        *,
        heartbeats: Callable[[], dict[str, float | None]],
        synced: Callable[[], bool],
        measure: Callable[[], None],
    ) -> None:
        self._heartbeats = heartbeats
        self._synced = synced
        self._measure = measure

    def application(self) -> web.Application:
        """Build the application: /healthz, /readyz and /metrics."""
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        return application

    async def _healthz(self, _: web.Request) -> web.Response:
        now = time.monotonic()
        stuck = [name for name, at in self._heartbeats().items() if at is not None and now - at > STUCK_SECONDS]
        if stuck:
            return web.Response(status=500, text=f"no heartbeat from: {', '.join(stuck)}\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        """Answer ready once all was listed, the leader and those that stand by alike: a rolling update needs it."""
        if not self._synced():
            return web.Response(status=503, text="the first list of all objects is not complete\n")
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        self._measure()
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
