"""What the operator knows of one run, read from API objects into plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from lora_contract import names
from lora_contract.progress import TrainerStatus
from lora_contract.spec import LoRAFineTuneSpec
from lora_contract.status import LoRAFineTuneStatus
from lora_operator.core.pod import Pod, parse_time
from lora_operator.core.resource import CreateError, Resource

KUEUE_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
KUEUE_JOB_UID_LABEL = "kueue.x-k8s.io/job-uid"


@dataclass(frozen=True)
class ObjectCondition:
    """One condition of any API object."""

    type: str
    status: str
    reason: str
    message: str
    since: datetime | None

    @property
    def true(self) -> bool:
        """Whether it holds."""
        return self.status == "True"


def _conditions(status: Mapping[str, Any]) -> tuple[ObjectCondition, ...]:
    return tuple(
        ObjectCondition(
            type=str(item.get("type", "")),
            status=str(item.get("status", "Unknown")),
            reason=str(item.get("reason") or ""),
            message=str(item.get("message") or ""),
            since=parse_time(item.get("lastTransitionTime")),
        )
        for item in status.get("conditions") or ()
    )


@dataclass(frozen=True)
class FineTune(Resource[LoRAFineTuneSpec, LoRAFineTuneStatus]):
    """A LoRAFineTune."""

    kind = names.KIND
    spec_model = LoRAFineTuneSpec
    status_model = LoRAFineTuneStatus


@dataclass(frozen=True)
class Job:
    """A batch/v1 Job of ours."""

    name: str
    uid: str
    owner_uid: str | None
    stage: str
    created: datetime
    started: datetime | None
    completed: datetime | None
    suspended: bool
    deleting: bool
    active: int
    failed: int
    #: LocalQueue of Kueue that the Job waits in; it then decides about `suspended`.
    queue: str | None
    conditions: tuple[ObjectCondition, ...]

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API."""
        metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            owner_uid=_controller_uid(metadata),
            stage=str((metadata.get("labels") or {}).get(names.LABEL_STAGE, "")),
            created=parse_time(metadata.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
            started=parse_time(status.get("startTime")),
            completed=parse_time(status.get("completionTime")),
            suspended=bool(spec.get("suspend")),
            deleting=bool(metadata.get("deletionTimestamp")),
            active=int(status.get("active") or 0),
            failed=int(status.get("failed") or 0),
            queue=(metadata.get("labels") or {}).get(KUEUE_QUEUE_LABEL),
            conditions=_conditions(status),
        )

    def condition(self, kind: str) -> ObjectCondition | None:
        """The condition of a type, where it holds."""
        return next((c for c in self.conditions if c.type == kind and c.true), None)

    @property
    def complete(self) -> bool:
        """Whether every pod it needed succeeded."""
        return self.condition("Complete") is not None

    @property
    def failure(self) -> ObjectCondition | None:
        """Why it failed for good, if it did."""
        return self.condition("Failed")

    @property
    def finished(self) -> bool:
        """Whether it will start no pod any more."""
        return self.complete or self.failure is not None


def _controller_uid(metadata: Mapping[str, Any]) -> str | None:
    owners = metadata.get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), None)


@dataclass(frozen=True)
class Workload:
    """A Kueue Workload, the place of a Job in a queue."""

    name: str
    job_uid: str | None
    active: bool
    conditions: tuple[ObjectCondition, ...]
    queue_name: str | None

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API."""
        metadata, spec = body["metadata"], body.get("spec") or {}
        return cls(
            name=metadata["name"],
            job_uid=(metadata.get("labels") or {}).get(KUEUE_JOB_UID_LABEL) or _controller_uid(metadata),
            active=spec.get("active") is not False,
            conditions=_conditions(body.get("status") or {}),
            queue_name=spec.get("queueName"),
        )

    def condition(self, kind: str) -> ObjectCondition | None:
        """The condition of a type, whatever its status."""
        return next((c for c in self.conditions if c.type == kind), None)


@dataclass(frozen=True)
class Progress:
    """The latest report of a train pod."""

    status: TrainerStatus
    received: datetime
    pod: str


class WarningEvent(NamedTuple):
    """A Warning Event about a Job, and when it was last seen."""

    reason: str
    message: str
    time: datetime | None = None


@dataclass(frozen=True)
class Warnings:
    """The Warning Events of one Job, newest first, and when they were read."""

    job: str
    read: datetime
    items: tuple[WarningEvent, ...] = ()


@dataclass(frozen=True)
class GpuMemory:
    """The largest GPU of the nodes that a label selector matches, and when that was read. None: no label says."""

    read: datetime
    largest_bytes: int | None


@dataclass(frozen=True)
class Twin:
    """Another run with the same identity, prepared, under way and not suspended."""

    run_id: str
    namespace: str
    name: str
    uid: str
    created: datetime
    #: Where its adapter goes: two outputs share nothing.
    output: str
    endpoint: str | None
    #: LocalQueue of its train Job.
    queue: str | None
    #: Its train Job exists, or is being created; without one it waits for its turn.
    started: bool
    #: Its train pod runs, or ended and another follows.
    running: bool
    #: Its train Job is refused by the API server.
    refused: bool


@dataclass(frozen=True)
class Observed:
    """All that is known of one run.

    The caller keeps it up to date with its own writes: a created Job and a written status are seen by the
    next decision. `jobs` are those whose controller is the resource; `pods` those of these Jobs, also pods
    that are gone (`Pod.gone`), in their last state, for ten minutes.
    """

    finetune: FineTune
    jobs: tuple[Job, ...] = ()
    pods: tuple[Pod, ...] = ()
    workloads: tuple[Workload, ...] = ()
    progress: Progress | None = None
    create_error: CreateError | None = None
    warnings: Warnings | None = None
    kueue_installed: bool = False
    #: The NetworkPolicy for all run pods of the namespace is there and up to date.
    isolated: bool = False
    #: UIDs of the Jobs whose Service this process created or found.
    services: frozenset[str] = frozenset()
    #: Place of the train Job in its LocalQueue, 1 is next; None: not known.
    queue_position: int | None = None
    twins: tuple[Twin, ...] = ()
    #: By label selector.
    gpu_memory: Mapping[str, GpuMemory] = field(default_factory=dict)

    @property
    def resource(self) -> FineTune:
        """The resource."""
        return self.finetune

    def job(self, name: str) -> Job | None:
        """The Job of that name."""
        return next((job for job in self.jobs if job.name == name), None)

    def pods_of(self, job_name: str) -> tuple[Pod, ...]:
        """The pods of a Job, oldest first."""
        mine = (pod for pod in self.pods if pod.job_name == job_name)
        return tuple(sorted(mine, key=lambda pod: (pod.created, pod.name)))

    def workload_of(self, job: Job) -> Workload | None:
        """The Workload of a Job."""
        return next((w for w in self.workloads if w.job_uid == job.uid), None)

    def queued(self, job: Job) -> bool:
        """Whether Kueue decides when the Job runs."""
        return job.queue is not None or self.workload_of(job) is not None
