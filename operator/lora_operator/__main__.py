"""The operator's process: `python -m lora_operator`, set by environment variables alone."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
import uuid
from contextlib import suppress

from kubernetes.aio.config import ConfigException
from prometheus_client import REGISTRY
from pydantic import ValidationError
from pydantic_settings import SettingsError

from lora_contract.base import problem_of
from lora_contract.version import __version__
from lora_operator import logs
from lora_operator.effects.api.client import Api
from lora_operator.effects.api.connection import load_configuration
from lora_operator.effects.api.event_recorder import EventRecorder
from lora_operator.effects.api.kube import Kube
from lora_operator.effects.api.lease import Leadership
from lora_operator.effects.api.token_review import TokenReviews
from lora_operator.effects.errors import ExpectedError
from lora_operator.effects.kinds import Key
from lora_operator.effects.memory.cache import Cache
from lora_operator.effects.memory.queue_positions import QueuePositions
from lora_operator.effects.memory.work_queue import WorkQueue
from lora_operator.handlers.cache_feeder import CacheFeeder
from lora_operator.handlers.health import Health
from lora_operator.handlers.http_server import ConnectionLimits, HttpServer
from lora_operator.handlers.progress_endpoint import Certificate, ProgressEndpoint
from lora_operator.handlers.watches import EtcdRestoredError, Watches
from lora_operator.reconcile.run_metrics import RunGauges, begin_series
from lora_operator.reconcile.runs import RunReconciler
from lora_operator.reconcile.sweeps import SweepReconciler
from lora_operator.settings import Settings

_TICK_SECONDS = 5.0
_SWEEP_WORKERS = 4
_EXIT_BAD_SETTINGS = 64
#: The kubelet starts the container again.
_EXIT_BEGIN_ANEW = 75
#: A report takes one connection for some milliseconds; one that stays costs about 70 KiB.
_PROGRESS_LIMITS = ConnectionLimits(in_all=256, per_address=64)
_HEALTH_LIMITS = ConnectionLimits(in_all=64, per_address=16)

#: Python looks for cycles after 700 new objects: many times in each page of a list, where there are none. That was a
#: third of the time of a start with 5,000 resources.
_GC_THRESHOLDS = (20_000, 20, 20)

logger = logging.getLogger("lora_operator")


class Operator:
    """All parts of the process, and how they hang together."""

    def __init__(self, settings: Settings, api: Api) -> None:
        self._settings = settings
        self.leadership = Leadership(
            api, namespace=settings.lease_namespace, name=settings.lease_name, identity=identity()
        )
        kube = Kube(api, self.leadership.held)
        cache = Cache(settings.default_s3_endpoint)
        self.events = EventRecorder(kube, self.leadership.identity)
        reconciler = RunReconciler(cache=cache, kube=kube, events=self.events, settings=settings)
        self.queue: WorkQueue[Key] = WorkQueue(reconciler.reconcile, workers=settings.workers)
        sweeps = SweepReconciler(
            cache=cache, kube=kube, events=self.events, settings=settings, look_at_run=self.queue.add
        )
        self.sweep_queue: WorkQueue[Key] = WorkQueue(sweeps.reconcile, workers=_SWEEP_WORKERS)
        self.feeder = CacheFeeder(cache=cache, kube=kube, queue=self.queue, sweeps=self.sweep_queue, settings=settings)
        self.positions = QueuePositions(cache=cache, kube=kube, queue=self.queue)
        self.watches = Watches(settings=settings, kube=kube, receiver=self.feeder)
        self.certificate = Certificate(settings)
        self.progress = ProgressEndpoint(
            cache=cache,
            queue=self.queue,
            reviews=TokenReviews(api),
            leads=self.leadership.held,
            now=kube.now,
        )
        self._ticked = time.monotonic()
        REGISTRY.register(RunGauges(cache))
        begin_series()

    async def run(self) -> None:
        """Serve and work until cancelled."""
        health = Health(
            heartbeats=lambda: {"operator": self._ticked, "kopf": self.watches.last_heartbeat},
            synced=lambda: self.feeder.synced,
            measure=self.queue.measure,
        )
        servers = [
            await HttpServer.start(
                health.application(), host="", port=self._settings.health_port, limits=_HEALTH_LIMITS
            )
        ]
        if self._settings.progress_url:
            servers.append(
                await HttpServer.start(
                    self.progress.application(),
                    host=self._settings.progress_host,
                    port=self._settings.progress_port,
                    limits=_PROGRESS_LIMITS,
                    context=self.certificate.context,
                )
            )
        try:
            async with asyncio.TaskGroup() as group:
                for part in (self.watches.run(), self.feeder.run(), self._tick(), self.leadership.run(self._lead)):
                    group.create_task(part)
        finally:
            for server in servers:
                await server.close()

    async def _lead(self) -> None:
        """Act as leader. First all is listed anew: the one before may have written what no watch has delivered yet."""
        while True:
            with suppress(ExpectedError):
                await self.feeder.resync()
                break
            await asyncio.sleep(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.queue.run())
            group.create_task(self.sweep_queue.run())
            group.create_task(self.events.run())
            group.create_task(self.positions.run())

    async def _tick(self) -> None:
        while True:
            self._ticked = time.monotonic()
            self.progress.forget_idle()
            try:
                self.certificate.reload()
            except OSError as error:
                logger.error("the renewed certificate of the progress endpoint cannot be used: %s", error)
            await asyncio.sleep(_TICK_SECONDS)


def identity() -> str:
    """Name this process among its replicas: the pod, which keeps the Lease when its container is restarted."""
    return os.environ.get("POD_NAME") or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"


async def operate(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    api = Api(await load_configuration())
    logger.info("lora-operator %s starts", __version__)
    running = asyncio.create_task(Operator(settings, api).run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    finally:
        stopping.cancel()
        await api.close()
    logger.info("lora-operator stops")


def main() -> int:
    """Read the settings and run; the exit code."""
    try:
        settings = Settings()
    except ValidationError as error:
        for item in error.errors(include_url=False, include_context=False):
            variable = "_".join(["LORA_OPERATOR", *(str(part).upper() for part in item["loc"])])
            print(f"{variable}: {problem_of(item)}", file=sys.stderr)
        return _EXIT_BAD_SETTINGS
    except SettingsError as error:  # a list or a map that is no JSON
        print(f"{error}: {error.__cause__}", file=sys.stderr)
        return _EXIT_BAD_SETTINGS
    logs.configure(settings)
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.freeze()
    try:
        asyncio.run(operate(settings))
    except ConfigException as error:
        logger.error("no way to the API server: %s", error)
        return _EXIT_BAD_SETTINGS
    except ExceptionGroup as group:
        if group.subgroup(EtcdRestoredError) is None:
            raise
        logger.error(
            "etcd was restored to an earlier moment: this process ends, the next one begins with what is there"
        )
        return _EXIT_BEGIN_ANEW
    return 0


if __name__ == "__main__":
    sys.exit(main())
