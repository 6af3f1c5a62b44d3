"""Kubernetes Events about runs and sweeps: posted in the background, and dropped where they would hold up the rest."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Any

from lora_contract import names
from lora_contract.times import format_time
from lora_operator.core.observe.resource import Resource
from lora_operator.core.run.decision import Event
from lora_operator.effects import metrics
from lora_operator.effects.api.kube import Kube
from lora_operator.effects.errors import ExpectedError

_MOST_WAITING = 5000
_TELLERS = 2
#: After each Event of a teller: in a burst, Events leave the API server to the work.
_PAUSE_SECONDS = 0.1
_MAX_NOTE = 1024

logger = logging.getLogger(__name__)


class EventRecorder:
    """Creates Events in the order in which they were recorded, roughly. A failed one is not tried again."""

    def __init__(self, kube: Kube, identity: str) -> None:
        self._kube = kube
        self._identity = identity
        self._waiting: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(_MOST_WAITING)

    def record(self, about: Resource[Any, Any], event: Event) -> None:
        """Report something that happened to a run or sweep."""
        try:
            self._waiting.put_nowait((about.namespace, self._manifest(about, event)))
        except asyncio.QueueFull:
            metrics.EVENTS.labels(result="dropped").inc()

    async def run(self) -> None:
        """Post Events until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_TELLERS):
                group.create_task(self._tell())

    async def _tell(self) -> None:
        while True:
            namespace, manifest = await self._waiting.get()
            try:
                await self._kube.create_event(namespace, manifest)
            except ExpectedError as error:
                metrics.EVENTS.labels(result="failed").inc()
                logger.info("Event %s of %s was not created: %s", manifest["reason"], namespace, error)
            else:
                metrics.EVENTS.labels(result="created").inc()
            await asyncio.sleep(_PAUSE_SECONDS)

    def _manifest(self, about: Resource[Any, Any], event: Event) -> dict[str, Any]:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{about.name}.{uuid.uuid4().hex[:16]}", "namespace": about.namespace},
            "eventTime": format_time(self._kube.now(), fraction=True),
            "reportingController": f"{names.GROUP}/{names.MANAGED_BY}",
            "reportingInstance": self._identity[:128],
            "action": "Reconcile",
            "reason": event.reason,
            "note": event.message[:_MAX_NOTE],
            "type": event.type,
            "regarding": {
                "apiVersion": names.API_VERSION,
                "kind": about.kind,
                "namespace": about.namespace,
                "name": about.name,
                "uid": about.uid,
                "resourceVersion": about.resource_version,
            },
        }
