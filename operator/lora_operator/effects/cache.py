"""All that is known of the cluster: objects as last seen, and what only this process remembers of a run."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lora_operator.core.identical import identical_run_trains, twin_of
from lora_operator.core.observed import FineTune, GpuMemory, Job, Observed, Progress, Twin, Warnings, Workload
from lora_operator.core.pod import Pod
from lora_operator.core.resource import CreateError
from lora_operator.core.sweep.observed import ObservedSweep, Sweep
from lora_operator.effects.kinds import REQUIRED, Kind
from lora_operator.effects.table import Entry, Key, Table, controller

#: How long the last state of a pod that is gone is remembered.
GONE_POD_SECONDS = 600.0


@dataclass
class Memory:
    """What the API server does not hold of a run or sweep. Losing it costs nothing but a fresher status."""

    progress: Progress | None = None
    create_error: CreateError | None = None
    warnings: Warnings | None = None
    services: frozenset[str] = frozenset()


class Cache:
    """Tables of all kinds, joined by owner references into what `decide` wants to know of one run."""

    def __init__(self) -> None:
        self.finetunes: Table[FineTune] = Table(FineTune.from_dict, index=lambda run: run.status.run_id)
        self.jobs: Table[Job] = Table(Job.from_dict)
        self.pods: Table[Pod] = Table(Pod.from_dict)
        self.workloads: Table[Workload] = Table(Workload.from_dict)
        self.sweeps: Table[Sweep] = Table(Sweep.from_dict)
        self.served: frozenset[Kind] = REQUIRED
        self._tables: dict[Kind, Table[Any]] = {
            Kind.FINETUNE: self.finetunes,
            Kind.JOB: self.jobs,
            Kind.POD: self.pods,
            Kind.WORKLOAD: self.workloads,
            Kind.SWEEP: self.sweeps,
        }
        #: Namespaces in which the NetworkPolicy for all run pods is up to date.
        self.isolated: frozenset[str] = frozenset()
        #: By label selector; only what was read a moment ago.
        self.gpu_memory: dict[str, GpuMemory] = {}
        #: By uid: the identity of a run whose train Job is being created, until its status says it.
        self.starting: dict[str, str] = {}
        self._memories: dict[str, Memory] = {}
        self._positions: dict[Key, dict[str, int]] = {}
        self._gone_pods: dict[str, list[tuple[float, Pod]]] = {}

    @property
    def kueue_installed(self) -> bool:
        """Whether Kueue's Workloads are served."""
        return Kind.WORKLOAD in self.served

    def serve(self, kinds: frozenset[Kind]) -> None:
        """Keep these kinds from now on, and forget all objects of the others."""
        self.served = kinds
        for kind in frozenset(Kind) - kinds:
            self._tables[kind].clear()

    def put(self, kind: Kind, body: Mapping[str, Any]) -> Key | None:
        """Keep an object; the run that should be looked at because of it, if any."""
        entry = self._tables[kind].put(body)
        if entry is not None and kind is Kind.FINETUNE and entry.value.status.run_id:
            self.starting.pop(entry.uid, None)
        return None if entry is None else self._run_of(kind, entry)

    def remove(self, kind: Kind, body: Mapping[str, Any]) -> Key | None:
        """Forget an object, given in its last state; the run that should be looked at."""
        metadata = body["metadata"]
        self._tables[kind].put(body)
        entry = self._tables[kind].remove(Key(metadata["namespace"], metadata["name"]), metadata["uid"])
        return None if entry is None else self._forgotten(kind, entry)

    def forget(self, kind: Kind, key: Key, uid: str) -> None:
        """Forget an object that is known to be gone before the watch says so: nobody has to look because of it."""
        if (entry := self._tables[kind].remove(key, uid)) is not None:
            self._forgotten(kind, entry)

    def keep_only(self, kind: Kind, listed: set[Key], version: int, within: str | None) -> list[Key]:
        """Forget what a complete list as of `version` does not hold; the runs that should be looked at."""
        gone: list[Entry[Any]] = self._tables[kind].keep_only(listed, version, within)
        return [run for entry in gone if (run := self._forgotten(kind, entry)) is not None]

    def is_new(self, key: Key) -> bool:
        """Whether a run exists and its status has never been written."""
        entry = self.finetunes.get(key)
        return entry is not None and not entry.value.seen

    def observe(self, key: Key) -> Observed | None:
        """All that is known of a run; None where it does not exist."""
        entry = self.finetunes.get(key)
        if entry is None:
            return None
        jobs = self.jobs.owned_by(entry.uid)
        pods = tuple(pod for job in jobs for pod in self._pods_of(job))
        memory = self.memory(entry.uid)
        return Observed(
            finetune=entry.value,
            jobs=tuple(job.value for job in jobs),
            pods=pods,
            workloads=tuple(workload.value for job in jobs for workload in self.workloads.owned_by(job.uid)),
            progress=memory.progress,
            create_error=memory.create_error,
            warnings=memory.warnings,
            kueue_installed=self.kueue_installed,
            isolated=key.namespace in self.isolated,
            services=memory.services,
            queue_position=self._position_of(key.namespace, jobs),
            twins=tuple(self._twins(entry, pods)),
            gpu_memory=self.gpu_memory,
        )

    def _twins(self, entry: Entry[FineTune], pods: Iterable[Pod]) -> Iterator[Twin]:
        """The other runs with an identity that this one has, or by its pods' word is about to have."""
        said = {pod.report.run_id for pod in pods if pod.report is not None}
        for run_id in filter(None, {entry.value.status.run_id} | said):
            starting = (self.finetunes.by_uid(uid) for uid, its in self.starting.items() if its == run_id)
            found = {other.uid: other for other in (*self.finetunes.indexed(run_id), *starting) if other is not None}
            for other in found.values():
                jobs = self.jobs.owned_by(other.uid)
                twin = twin_of(
                    run_id,
                    other.value,
                    [job.value for job in jobs],
                    [workload.value for job in jobs for workload in self.workloads.owned_by(job.uid)],
                    starting=other.uid in self.starting,
                    refused=self.memory(other.uid).create_error is not None,
                )
                if other.uid != entry.uid and twin is not None:
                    yield twin

    def set_positions(self, local_queue: Key, positions: dict[str, int]) -> bool:
        """Keep the places of the Workloads in a LocalQueue, by name; whether any is new."""
        if self._positions.get(local_queue, {}) == positions:
            return False
        self._positions[local_queue] = positions
        return True

    def keep_positions(self, local_queues: Collection[Key]) -> None:
        """Forget the places in all other queues."""
        self._positions = {key: found for key, found in self._positions.items() if key in local_queues}

    def _position_of(self, namespace: str, jobs: list[Entry[Job]]) -> int | None:
        for job in jobs:
            for workload in self.workloads.owned_by(job.uid):
                queue = Key(namespace, workload.value.queue_name or "")
                if (found := self._positions.get(queue, {}).get(workload.value.name)) is not None:
                    return found
        return None

    def observe_sweep(self, key: Key) -> ObservedSweep | None:
        """All that is known of a sweep; None where it does not exist."""
        entry = self.sweeps.get(key)
        if entry is None:
            return None
        runs = tuple(run.value for run in self.finetunes.owned_by(entry.uid))
        return ObservedSweep(entry.value, runs, self.memory(entry.uid).create_error)

    def sweep_of(self, kind: Kind, body: Mapping[str, Any]) -> Key | None:
        """The sweep that should be looked at because of an object, if any: itself, or the one that controls a run.

        Asked also of what `put` knew already: a run's status that the operator itself wrote is news for its sweep.
        """
        if kind is Kind.SWEEP:
            return Key(body["metadata"]["namespace"], body["metadata"]["name"])
        sweep = self.sweeps.by_uid(controller(body["metadata"])) if kind is Kind.FINETUNE else None
        return None if sweep is None else sweep.key

    def waiting_for(self, kind: Kind, body: Mapping[str, Any]) -> list[Key]:
        """The runs that wait for an identical one, given that one: asked also of what `put` knew already."""
        run_id = (body.get("status") or {}).get("runId") if kind is Kind.FINETUNE else None
        identical = self.finetunes.indexed(str(run_id)) if run_id else []
        return [other.key for other in identical if identical_run_trains(other.value.status)]

    def memory(self, uid: str) -> Memory:
        """What is remembered of the run or sweep with this uid."""
        return self._memories.setdefault(uid, Memory())

    def forget_old_pods(self) -> None:
        """Drop the pods that have been gone for long."""
        oldest = time.monotonic() - GONE_POD_SECONDS
        for job_uid, pods in list(self._gone_pods.items()):
            recent = [item for item in pods if item[0] > oldest]
            if recent:
                self._gone_pods[job_uid] = recent
            else:
                del self._gone_pods[job_uid]

    def _pods_of(self, job: Entry[Job]) -> list[Pod]:
        return [entry.value for entry in self.pods.owned_by(job.uid)] + [
            pod for _, pod in self._gone_pods.get(job.uid, ())
        ]

    def _run_of(self, kind: Kind, entry: Entry[Any]) -> Key | None:
        if kind is Kind.FINETUNE:
            return entry.key
        if kind is Kind.SWEEP:
            return None
        owner = entry.owner
        if kind in (Kind.POD, Kind.WORKLOAD):
            job = self.jobs.by_uid(owner)
            owner = job.owner if job is not None else ""
        run = self.finetunes.by_uid(owner)
        return None if run is None else run.key

    def _forgotten(self, kind: Kind, entry: Entry[Any]) -> Key | None:
        if kind in (Kind.FINETUNE, Kind.SWEEP):
            self._memories.pop(entry.uid, None)
            self.starting.pop(entry.uid, None)
        if kind is Kind.POD:
            gone = replace(entry.value, gone=True)
            self._gone_pods.setdefault(entry.owner, []).append((time.monotonic(), gone))
        return self._run_of(kind, entry)
