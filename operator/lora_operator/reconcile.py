"""One look at one run: gather what is known, decide, act, write the status. The only writer of status."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from lora_contract.status import LoRAFineTuneStatus
from lora_operator.core.decide import decide
from lora_operator.core.decision import (
    Action,
    CreateJob,
    Decision,
    DeleteJob,
    ReadWarnings,
    SetWorkloadActive,
    SuspendJob,
)
from lora_operator.core.observed import CreateError, FineTune, Observed, Warnings
from lora_operator.effects import metrics, run_metrics
from lora_operator.effects.api import ApiError
from lora_operator.effects.cache import Cache
from lora_operator.effects.event_recorder import EventRecorder
from lora_operator.effects.kinds import Kind
from lora_operator.effects.kube import Kube
from lora_operator.effects.merge_patch import difference
from lora_operator.effects.table import Key
from lora_operator.settings import Settings

#: Decisions in one look: each action may change what is decided next. More than these wait for the next look.
_MAX_DECISIONS = 6
_NEXT_LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Reconciler:
    """Brings runs forward, one decision after the other.

    Every write is harmless when done twice, and its answer goes into the cache before the next decision; so a
    crash between any two writes, or a watch that lags behind, leads to the same end.
    """

    def __init__(self, *, cache: Cache, kube: Kube, events: EventRecorder, settings: Settings) -> None:
        self._cache = cache
        self._kube = kube
        self._events = events
        self._settings = settings

    async def reconcile(self, key: Key) -> float | None:
        """Look at one run; the seconds until the next look, or None to wait for a change.

        Raises:
            ExpectedError: the API server could not do what was asked; the caller tries again.
        """
        for _ in range(_MAX_DECISIONS):
            observed = self._cache.observe(key)
            if observed is None or observed.finetune.deleting:
                return None  # owner references collect the rest
            decision = decide(observed, self._settings, datetime.now(UTC))
            if await self._apply(observed, decision) and not decision.actions:
                return decision.requeue_after
        return _NEXT_LOOK_SECONDS

    async def _apply(self, observed: Observed, decision: Decision) -> bool:
        """Actions, then status, then Events. False: something came in between; decide anew."""
        for action in decision.actions:
            if not await self._act(observed, action):
                return False
        if not await self._write_status(observed.finetune, decision.status):
            return False
        for event in decision.events:
            self._events.record(observed.finetune, event)
        return True

    async def _act(self, observed: Observed, action: Action) -> bool:
        namespace = observed.finetune.namespace
        match action:
            case CreateJob():
                return await self._create_job(observed.finetune, action)
            case DeleteJob(name):
                await self._delete_job(observed, name)
            case SuspendJob(name, suspend):
                await self._patch_spec(Kind.JOB, Key(namespace, name), {"suspend": suspend})
            case SetWorkloadActive(name, active):
                await self._patch_spec(Kind.WORKLOAD, Key(namespace, name), {"active": active})
            case ReadWarnings(job):
                items = tuple(await self._kube.warnings(namespace, job))
                memory = self._cache.memory(observed.finetune.uid)
                memory.warnings = Warnings(job=job, read=datetime.now(UTC), items=items)
        return True

    async def _create_job(self, finetune: FineTune, action: CreateJob) -> bool:
        memory = self._cache.memory(finetune.uid)
        try:
            job = await self._kube.create_job(finetune.namespace, action.manifest, owner_uid=finetune.uid)
        except ApiError as error:
            if error.transient:
                raise
            memory.create_error = CreateError(action.name, error.status, error.message, datetime.now(UTC))
            logger.warning("%s/%s: Job %s was refused: %s", finetune.namespace, finetune.name, action.name, error)
            return False
        memory.create_error = None
        self._cache.put(Kind.JOB, job)
        return True

    async def _delete_job(self, observed: Observed, name: str) -> None:
        job = observed.job(name)
        if job is None:
            return
        namespace = observed.finetune.namespace
        await self._kube.delete_job(namespace, name, uid=job.uid)
        self._cache.jobs.remove(Key(namespace, name), job.uid)

    async def _patch_spec(self, kind: Kind, key: Key, spec: dict[str, bool]) -> None:
        changed = await self._kube.patch_spec(kind, key, spec)
        if changed is not None:
            self._cache.put(kind, changed)

    async def _write_status(self, finetune: FineTune, status: LoRAFineTuneStatus) -> bool:
        """Write what differs. False: the object has changed since it was read; it was read again."""
        patch = difference(finetune.status.dump(), status.dump())
        if not patch:
            return True
        key = Key(finetune.namespace, finetune.name)
        try:
            written = await self._kube.patch_status(
                Kind.FINETUNE, key, patch, resource_version=finetune.resource_version
            )
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            metrics.STATUS_WRITES.labels(result="conflict").inc()
            await self._read_again(key, finetune)
            return False
        metrics.STATUS_WRITES.labels(result="written").inc()
        self._cache.put(Kind.FINETUNE, written)
        run_metrics.count_changes(finetune.status, status, namespace=finetune.namespace)
        return True

    async def _read_again(self, key: Key, finetune: FineTune) -> None:
        body = await self._kube.get(Kind.FINETUNE, key)
        if body is None or body["metadata"]["uid"] != finetune.uid:
            self._cache.finetunes.remove(key, finetune.uid)
        if body is not None:
            self._cache.put(Kind.FINETUNE, body)
