"""All that is known of the cluster: objects as last seen, and what only this process remembers of a run."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from lora_contract import names
from lora_operator.core.observe.observed import FineTune, GpuMemory, IdenticalRun, Job, Observed, Workload
from lora_operator.core.observe.owner import Owner, controller_of
from lora_operator.core.observe.pod import Pod
from lora_operator.core.observe.resource import CreateError, Resource
from lora_operator.core.stages.identical import identical_run, identity_of
from lora_operator.core.stages.parent import parent_of
from lora_operator.core.sweep.observed_sweep import ObservedSweep, Sweep
from lora_operator.effects.kinds import REQUIRED, Key, Kind
from lora_operator.effects.memory.gone_pods import GonePods
from lora_operator.effects.memory.identical_index import IdenticalIndex
from lora_operator.effects.memory.run_memory import Memory
from lora_operator.effects.memory.table import Entry, Table
from lora_operator.effects.memory.waiting_children import WaitingChildren

T = TypeVar("T")


class Cache:
    """Tables of all kinds, joined by owner references into what `decide` wants to know of one run.

    `default_endpoint`: the S3 endpoint of runs that name none.
    """

    def __init__(self, default_endpoint: str = "") -> None:
        self.finetunes: Table[FineTune] = Table(FineTune.from_dict)
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
        self.identical = IdenticalIndex()
        self.waiting_children = WaitingChildren()
        self._default_endpoint = default_endpoint
        #: By uid: the identity of a run whose train Job is being created, until its status says it.
        self._starting: dict[str, str] = {}
        self._memories: dict[str, Memory] = {}
        self._positions: dict[Key, dict[str, int]] = {}
        self.gone_pods = GonePods()

    @property
    def kueue_installed(self) -> bool:
        """Whether Kueue's Workloads are served."""
        return Kind.WORKLOAD in self.served

    def serve(self, kinds: frozenset[Kind]) -> None:
        """Keep these kinds from now on, and forget all objects of the others."""
        self.served = kinds
        for kind in frozenset(Kind) - kinds:
            self._tables[kind].clear()

    def put(self, kind: Kind, body: Mapping[str, Any], *, list_turn: int | None = None) -> Key | None:
        """Keep an object; the run that should be looked at because of it, if any. `list_turn`: see `Table.put`."""
        entry = self._tables[kind].put(body, list_turn=list_turn)
        if entry is None:
            return None
        if kind is Kind.FINETUNE and entry.value.status.run_id:
            self._starting.pop(entry.uid, None)
        return self._noted(kind, entry)

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

    def turn(self, kind: Kind) -> int:
        """Return the turn at which a list is asked for, to be given to `put` and `keep_only`."""
        return self._tables[kind].turn

    def keep_only(self, kind: Kind, listed: set[Key], *, list_turn: int, version: int, within: str | None) -> list[Key]:
        """Forget what a complete list does not hold (`Table.keep_only`); the runs that should be looked at."""
        gone: list[Entry[Any]] = self._tables[kind].keep_only(
            listed, list_turn=list_turn, version=version, within=within
        )
        return [run for entry in gone if (run := self._forgotten(kind, entry)) is not None]

    def keep_only_of_run(self, run: Key, kind: Kind, listed: set[Key], *, list_turn: int, version: int) -> None:
        """Forget those Jobs or pods of a run that a complete list of them does not hold (`Table.keep_only`)."""
        owner = self.finetunes.get(run)
        jobs = self.jobs_of(owner) if owner is not None else []
        pods = [pod for job in jobs for pod in self.pods.owned_by(Kind.JOB.owner(job.key.namespace, job.uid))]
        known: list[Entry[Any]] = [*jobs] if kind is Kind.JOB else [*pods]
        for entry in known:
            if entry.key not in listed and (entry.seen <= list_turn or entry.version <= version):
                self.forget(kind, entry.key, entry.uid)

    def is_new(self, key: Key) -> bool:
        """Return whether a run exists and its status has never been written."""
        entry = self.finetunes.get(key)
        return entry is not None and not entry.value.seen

    def observe(self, key: Key) -> Observed | None:
        """Gather all that is known of a run; None where it does not exist."""
        entry = self.finetunes.get(key)
        if entry is None:
            return None
        jobs = self.jobs_of(entry)
        pods = tuple(pod for job in jobs for pod in self._pods_of(job))
        memory = self.memory(entry.uid)
        beside = partial(self._finetune, key.namespace)
        return Observed(
            finetune=entry.value,
            jobs=tuple(job.value for job in jobs),
            pods=pods,
            workloads=tuple(workload.value for job in jobs for workload in self._workloads_of(job)),
            progress=memory.progress,
            create_error=memory.create_error,
            warnings=memory.warnings,
            kueue_installed=self.kueue_installed,
            isolated=key.namespace in self.isolated,
            services=memory.services,
            queue_position=self._position_of(key.namespace, jobs),
            identical=tuple(self._identical_to(entry.value, jobs)),
            parent=parent_of(entry.value, beside),
            parents_in_circle=self.waiting_children.in_circle(key),
            gpu_memory=self.gpu_memory,
            monotonic=time.monotonic(),
            first_seen=memory.first_seen,
            read=memory.read,
        )

    def _finetune(self, namespace: str, name: str) -> FineTune | None:
        entry = self.finetunes.get(Key(namespace, name))
        return None if entry is None else entry.value

    def jobs_of(self, run: Entry[FineTune]) -> list[Entry[Job]]:
        """List the Jobs that the operator made for a run."""
        owned = self.jobs.owned_by(Kind.FINETUNE.owner(run.key.namespace, run.uid))
        return [job for job in owned if run.value.made(job.value)]

    def job_of(self, pod: Entry[Pod]) -> Entry[Job] | None:
        """Find the Job that made a pod."""
        job = self._owner_in(self.jobs, Kind.JOB, pod.owner)
        return job if job is not None and job.value.made(pod.value) else None

    def starts(self, run: FineTune, run_id: str) -> None:
        """Note that the train Job of a run is being created, before its status says with which identity."""
        self._starting[run.uid] = run_id
        self._note(run.namespace, run.uid)

    def does_not_start(self, run: FineTune) -> None:
        """Note that the train Job could not be created."""
        self._starting.pop(run.uid, None)
        self._note(run.namespace, run.uid)

    def set_create_error(self, resource: Resource[Any, Any], error: CreateError | None) -> None:
        """Remember what the API server refused to create for a run or sweep; None: it refuses nothing any more."""
        self.memory(resource.uid).create_error = error
        self._note(resource.namespace, resource.uid)

    def _identical_to(self, run: FineTune, jobs: list[Entry[Job]]) -> Iterator[IdenticalRun]:
        """List the runs that may go before this one, with the identity that it has, or by its prepare pod has soon."""
        if run.spec is None:
            return
        done = [job for job in jobs if job.value.complete and job.value.stage == names.STAGE_PREPARE]
        reports = (pod.report for job in done for pod in self._pods_of(job))
        run_ids = {run.status.run_id, *(report.run_id for report in reports if report is not None)}
        for run_id in run_ids - {None}:
            identity = identity_of(run.namespace, run.spec, str(run_id), self._default_endpoint)
            yield from self.identical.ahead_of(identity, run.uid, run.spec.scheduling.queue_name)

    def _note(self, namespace: str, uid: str) -> None:
        """Update the index with how far a run is."""
        entry = self.finetunes.by_uid(namespace, uid)
        if entry is None:
            self.identical.update(uid, None)
            return
        jobs = self.jobs_of(entry)
        found = identical_run(
            entry.value,
            entry.value.status.run_id or self._starting.get(uid),
            [job.value for job in jobs],
            [workload.value for job in jobs for workload in self._workloads_of(job)],
            default_endpoint=self._default_endpoint,
            starting=uid in self._starting,
            refused=self.memory(uid).create_error is not None,
        )
        self.identical.update(uid, found)

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
            for workload in self._workloads_of(job):
                queue = Key(namespace, workload.value.queue_name or "")
                if (found := self._positions.get(queue, {}).get(workload.value.name)) is not None:
                    return found
        return None

    def observe_sweep(self, key: Key) -> ObservedSweep | None:
        """Gather all that is known of a sweep; None where it does not exist."""
        entry = self.sweeps.get(key)
        if entry is None:
            return None
        owned = self.finetunes.owned_by(Kind.SWEEP.owner(key.namespace, entry.uid))
        runs = tuple(run.value for run in owned if entry.value.made(run.value))
        return ObservedSweep(entry.value, runs, self.memory(entry.uid).create_error, time.monotonic())

    def sweep_of(self, kind: Kind, body: Mapping[str, Any]) -> Key | None:
        """Find the sweep that should be looked at because of an object: itself, or the one that controls a run.

        Asked also of what `put` knew already: a run's status that the operator itself wrote is news for its sweep.
        """
        if kind is Kind.SWEEP:
            return Key(body["metadata"]["namespace"], body["metadata"]["name"])
        owner = controller_of(body["metadata"]) if kind is Kind.FINETUNE else None
        sweep = self._owner_in(self.sweeps, Kind.SWEEP, owner)
        return None if sweep is None else sweep.key

    def memory(self, uid: str) -> Memory:
        """Return what is remembered of the run or sweep with this uid."""
        return self._memories.setdefault(uid, Memory())

    def _pods_of(self, job: Entry[Job]) -> list[Pod]:
        owner = Kind.JOB.owner(job.key.namespace, job.uid)
        present = [entry.value for entry in self.pods.owned_by(owner)]
        return [pod for pod in (*present, *self.gone_pods.of(owner)) if job.value.made(pod)]

    def _workloads_of(self, job: Entry[Job]) -> list[Entry[Workload]]:
        return self.workloads.owned_by(Kind.JOB.owner(job.key.namespace, job.uid))

    def _owner_in(self, table: Table[T], kind: Kind, owner: Owner | None) -> Entry[T] | None:
        """Find the entry of the object that an owner names, where it is of this kind."""
        if owner is None or owner != kind.owner(owner.namespace, owner.uid):
            return None
        return table.by_uid(owner.namespace, owner.uid)

    def _run_of(self, kind: Kind, entry: Entry[Any]) -> Key | None:
        if kind is Kind.FINETUNE:
            return entry.key
        if kind is Kind.SWEEP:
            return None
        owner = entry.owner
        if kind in (Kind.POD, Kind.WORKLOAD):
            job = self._owner_in(self.jobs, Kind.JOB, owner)
            owner = job.owner if job is not None else None
        run = self._owner_in(self.finetunes, Kind.FINETUNE, owner)
        return None if run is None else run.key

    def _noted(self, kind: Kind, entry: Entry[Any]) -> Key | None:
        """Find the run that an object belongs to, after telling the index what its change means."""
        run = self._run_of(kind, entry)
        if kind is Kind.FINETUNE:
            self._note(entry.key.namespace, entry.uid)
            self.waiting_children.update(entry.key, self._finetune(*entry.key))
        elif run is not None and kind is not Kind.POD and (known := self.finetunes.get(run)) is not None:
            self._note(run.namespace, known.uid)
        return run

    def _forgotten(self, kind: Kind, entry: Entry[Any]) -> Key | None:
        if kind in (Kind.FINETUNE, Kind.SWEEP):
            self._memories.pop(entry.uid, None)
            self._starting.pop(entry.uid, None)
        if kind is Kind.POD and entry.owner is not None:
            self.gone_pods.add(entry.owner, entry.value)
        return self._noted(kind, entry)
