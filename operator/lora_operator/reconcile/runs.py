"""What the loop does for a LoRAFineTune: its Jobs, and their Workloads where Kueue queues them."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from datetime import datetime
from typing import Any, Unpack, assert_never

from lora_contract import names
from lora_contract.status import LoRAFineTuneStatus
from lora_operator.core.decide import decide
from lora_operator.core.observe.observed import FineTune, GpuMemory, Observed, Warnings
from lora_operator.core.observe.resource import Resource
from lora_operator.core.run import limits
from lora_operator.core.run.decision import (
    Action,
    CreateGroupPolicy,
    CreateJob,
    CreateService,
    DeleteJob,
    IsolatePods,
    ReadGpuMemory,
    ReadObjects,
    ReadWarnings,
    RunDecision,
    SetWorkloadActive,
    SuspendJob,
)
from lora_operator.effects.kinds import Key, Kind
from lora_operator.reconcile import run_metrics
from lora_operator.reconcile.loop import Parts, Reconciler


class RunReconciler(Reconciler[Observed, LoRAFineTuneStatus, Action]):
    """Brings runs forward."""

    kind = Kind.FINETUNE

    def __init__(self, **parts: Unpack[Parts]) -> None:
        super().__init__(**parts)
        #: By namespace: of many new runs that are looked at side by side, one makes the policy.
        self._isolating: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def _observe(self, key: Key) -> Observed | None:
        return self._cache.observe(key)

    def _decide(self, observed: Observed, now: datetime) -> RunDecision:
        decision = decide(observed, self._settings, now)
        if decision.status.run_id and any(_trains(action) for action in decision.actions):
            # Nothing is awaited between observing and this, so of two identical runs one sees the other.
            self._cache.starts(observed.finetune, decision.status.run_id)
        return decision

    async def _act(self, observed: Observed, action: Action) -> bool:
        namespace = observed.finetune.namespace
        match action:
            case CreateJob():
                return await self._create_job(observed.finetune, action)
            case CreateService():
                return await self._create_service(observed, action)
            case CreateGroupPolicy():
                create = self._kube.create_group_policy(namespace, action.manifest)
                return await self._created(observed.finetune, action.name, create)
            case IsolatePods():
                return await self._isolate(observed.finetune, action)
            case DeleteJob(name):
                await self._delete_job(observed, name)
            case SuspendJob(name, suspend):
                await self._patch_spec(Kind.JOB, Key(namespace, name), {"suspend": suspend})
            case SetWorkloadActive(name, active):
                await self._patch_spec(Kind.WORKLOAD, Key(namespace, name), {"active": active})
            case ReadObjects() | ReadWarnings() | ReadGpuMemory():
                await self._read(observed.finetune, action)
            case _:
                assert_never(action)
        return True

    async def _read(self, run: FineTune, action: ReadObjects | ReadWarnings | ReadGpuMemory) -> None:
        match action:
            case ReadObjects():
                await self._read_objects(run)
            case ReadWarnings(about, kind):
                items = tuple(await self._kube.warnings(run.namespace, kind, about))
                self._cache.memory(run.uid).warnings = Warnings(about=about, read=time.monotonic(), items=items)
            case ReadGpuMemory():
                await self._read_gpu_memory(action)
            case _:
                assert_never(action)

    async def _read_objects(self, run: FineTune) -> None:
        """Bring the run's Jobs and pods in the cache up to date, the Jobs first: pods follow from them."""
        began = time.monotonic()
        for kind in (Kind.JOB, Kind.POD):
            turn = self._cache.turn(kind)
            listed: set[Key] = set()
            version = 0
            async for page in self._kube.pages(kind, run.namespace, {names.LABEL_FINETUNE_UID: run.uid}):
                version = page.version
                for body in page.items:
                    listed.add(Key(body["metadata"]["namespace"], body["metadata"]["name"]))
                    self._cache.put(kind, body, list_turn=turn)
            key = Key(run.namespace, run.name)
            self._cache.keep_only_of_run(key, kind, listed, list_turn=turn, version=version)
        self._cache.memory(run.uid).read = began

    async def _read_gpu_memory(self, action: ReadGpuMemory) -> None:
        largest = await self._kube.largest_gpu(action.label, action.selector)
        now = time.monotonic()
        oldest = now - limits.GPU_MEMORY_FRESH
        fresh = {selector: known for selector, known in self._cache.gpu_memory.items() if known.read > oldest}
        self._cache.gpu_memory = fresh | {action.selector: GpuMemory(now, largest)}

    async def _create_job(self, finetune: FineTune, action: CreateJob) -> bool:
        created = False
        try:
            created = await self._is_current(finetune) and await self._create(Kind.JOB, finetune, action)
        finally:
            if not created:
                self._cache.does_not_start(finetune)
        return created

    async def _is_current(self, run: FineTune) -> bool:
        """Return whether a run is still as it is known. False: it was read again; decide anew.

        Its Job may be missing because the run itself was deleted, and the news of that comes later, or never where
        the operator was started in between. A new run is not asked about: what it lacks was never there.
        """
        if not run.seen:
            return True
        key = Key(run.namespace, run.name)
        await self._read_again(key, run.uid)
        entry = self._cache.finetunes.get(key)
        return entry is not None and (entry.uid, entry.value.resource_version) == (run.uid, run.resource_version)

    async def _create_service(self, observed: Observed, action: CreateService) -> bool:
        run = observed.finetune
        create = self._kube.create_service(run.namespace, action.manifest)
        if not await self._created(run, action.name, create):
            return False
        self._cache.memory(run.uid).services |= {action.job_uid}
        return True

    async def _isolate(self, run: FineTune, action: IsolatePods) -> bool:
        namespace = run.namespace
        async with self._isolating[namespace]:
            if namespace in self._cache.isolated:
                return True
            if not await self._created(run, action.name, self._kube.apply_runs_policy(namespace, action.manifest)):
                return False
            self._cache.isolated |= {namespace}
            return True

    async def _delete_job(self, observed: Observed, name: str) -> None:
        job = observed.job(name)
        if job is None:
            return
        namespace = observed.finetune.namespace
        await self._kube.delete_job(namespace, name, uid=job.uid)
        self._cache.forget(Kind.JOB, Key(namespace, name), job.uid)

    def _count(self, resource: Resource[Any, LoRAFineTuneStatus], written: LoRAFineTuneStatus) -> None:
        currency = self._settings.gpu_price_currency
        run_metrics.count_changes(resource.status, written, namespace=resource.namespace, currency=currency)


def _trains(action: Action) -> bool:
    if not isinstance(action, CreateJob):
        return False
    return bool(action.manifest["metadata"]["labels"][names.LABEL_STAGE] == names.STAGE_TRAIN)
