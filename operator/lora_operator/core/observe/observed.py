"""What the operator knows of one run, read from API objects into plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from lora_contract import names
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.outside import MAX_WORD, text_of
from lora_contract.progress import TrainerStatus
from lora_contract.status import LoRAFineTuneStatus
from lora_contract.times import parse_time
from lora_operator.core.observe.owner import controller_of, is_managed
from lora_operator.core.observe.pod import Pod
from lora_operator.core.observe.resource import CreateError, Resource
from lora_operator.core.observe.sight import Fact

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
            reason=text_of(item.get("reason"), MAX_WORD),
            message=text_of(item.get("message")),
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

    def made(self, job: Job) -> bool:
        """Return whether a Job that this run controls is one that the operator makes, or made for an earlier spec."""
        return job.stage in names.STAGES and names.is_job_name(job.name, self.name, job.stage)


@dataclass(frozen=True)
class Job:
    """A batch/v1 Job of ours."""

    name: str
    uid: str
    #: What the label of a Job of ours says; empty for any other Job.
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
    #: From which spec it was made; empty: by an earlier release, which did not say so.
    request_hash: str = ""

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API."""
        metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
        labels = metadata.get("labels") or {}
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            stage=str(labels.get(names.LABEL_STAGE, "")) if is_managed(labels) else "",
            created=parse_time(metadata.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
            started=parse_time(status.get("startTime")),
            completed=parse_time(status.get("completionTime")),
            suspended=bool(spec.get("suspend")),
            deleting=bool(metadata.get("deletionTimestamp")),
            active=int(status.get("active") or 0),
            failed=int(status.get("failed") or 0),
            queue=labels.get(KUEUE_QUEUE_LABEL),
            conditions=_conditions(status),
            request_hash=str((metadata.get("annotations") or {}).get(names.ANNOTATION_REQUEST_HASH, "")),
        )

    def condition(self, kind: str) -> ObjectCondition | None:
        """Find the condition of a type, where it holds."""
        return next((c for c in self.conditions if c.type == kind and c.true), None)

    def made(self, pod: Pod) -> bool:
        """Return whether a pod that this Job controls is one that the Job controller made for it, and counts itself."""
        return pod.job_uid == self.uid and pod.job_name == self.name

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

    @property
    def ended(self) -> datetime | None:
        """When it completed or failed."""
        ends = (c.since for c in self.conditions if c.true and c.type in ("Complete", "Failed"))
        return self.completed or next((end for end in ends if end is not None), None)


@dataclass(frozen=True)
class Workload:
    """A Kueue Workload, the place of a Job in a queue."""

    name: str
    #: The Job that controls it. Kueue's label says the same, but is a label like any other.
    job_uid: str | None
    active: bool
    conditions: tuple[ObjectCondition, ...]
    queue_name: str | None

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API."""
        metadata, spec = body["metadata"], body.get("spec") or {}
        job = controller_of(metadata)
        return cls(
            name=metadata["name"],
            job_uid=job.uid if job is not None else None,
            active=spec.get("active") is not False,
            conditions=_conditions(body.get("status") or {}),
            queue_name=text_of(spec.get("queueName"), MAX_WORD) or None,
        )

    def condition(self, kind: str) -> ObjectCondition | None:
        """Find the condition of a type, whatever its status."""
        return next((c for c in self.conditions if c.type == kind), None)


@dataclass(frozen=True)
class Progress:
    """The latest report of a train pod."""

    status: TrainerStatus
    #: By the API server's clock.
    received: datetime
    pod: str


class WarningEvent(NamedTuple):
    """A Warning Event about a Job or pod, and when it was last seen."""

    reason: str
    message: str
    time: datetime | None = None

    @classmethod
    def from_dict(cls, body: Mapping[str, Any], last_seen: str) -> Self:
        """Read an Event of the API that was last seen at a time."""
        return cls(text_of(body.get("reason"), MAX_WORD), text_of(body.get("message")), parse_time(last_seen))


@dataclass(frozen=True)
class Warnings:
    """The Warning Events of one Job or pod, newest first, and when they were read, by the monotonic clock."""

    about: str
    read: float
    items: tuple[WarningEvent, ...] = ()


@dataclass(frozen=True)
class GpuMemory:
    """The largest GPU of the nodes that a label selector matches, and when that was read, by the monotonic clock.

    None: no label says.
    """

    read: float
    largest_bytes: int | None


class Identity(NamedTuple):
    """What makes runs identical: they train the same adapter, and publish it in the same place.

    Only runs of one namespace are compared: what makes an identity is the word of their own pods.
    """

    namespace: str
    run_id: str
    output: str
    endpoint: str


@dataclass(frozen=True)
class IdenticalRun:
    """What runs with the same identity need to know of one that is prepared, under way and not suspended."""

    identity: Identity
    name: str
    uid: str
    created: datetime
    #: LocalQueue of its train Job.
    queue: str | None
    #: Its train Job exists, or is being created; without one it waits for its turn.
    started: bool
    #: Its train pod runs, or ended and another follows.
    running: bool
    #: Its train Job is refused by the API server.
    refused: bool

    @property
    def place(self) -> tuple[Identity, str | None]:
        """Among whom it waits."""
        return self.identity, self.queue


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
    #: Of the other runs with its identity those that may go before it.
    identical: tuple[IdenticalRun, ...] = ()
    #: The run of the same namespace that spec.from names, where it exists.
    parent: FineTune | None = None
    #: That run waits for this one, or names one that does: none of them can begin.
    parents_in_circle: bool = False
    #: By label selector.
    gpu_memory: Mapping[str, GpuMemory] = field(default_factory=dict)
    #: The monotonic clock of this process in seconds: now, when each fact was first seen, and when the newest complete
    #: reading of the run's Jobs and pods began.
    monotonic: float = 0.0
    first_seen: Mapping[Fact, float] = field(default_factory=dict)
    read: float | None = None

    @property
    def resource(self) -> FineTune:
        """The resource."""
        return self.finetune

    def job(self, name: str) -> Job | None:
        """Find the Job of that name."""
        return next((job for job in self.jobs if job.name == name), None)

    def pods_of(self, job_name: str) -> tuple[Pod, ...]:
        """List the pods of a Job, oldest first; of those created in one second, the ones that are over first."""
        mine = (pod for pod in self.pods if pod.job_name == job_name)
        return tuple(sorted(mine, key=lambda pod: (pod.created, not pod.finished, pod.name)))

    def workload_of(self, job: Job) -> Workload | None:
        """Find the Workload of a Job."""
        return next((w for w in self.workloads if w.job_uid == job.uid), None)
