"""What the core answers: actions, the status to show, Events to post, and when to look again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from lora_contract.status import LoRAFineTuneStatus
from lora_operator.core.observe.resource import StatusT
from lora_operator.core.observe.sight import Fact

ActionT = TypeVar("ActionT")


@dataclass(frozen=True)
class Create:
    """Create this object. That it exists already under this owner counts as done."""

    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of the object."""
        return str(self.manifest["metadata"]["name"])


class CreateJob(Create):
    """Create a Job of a run."""


@dataclass(frozen=True)
class CreateService(Create):
    """Create the Service of a Job, which owns it."""

    job_uid: str


@dataclass(frozen=True)
class CreateGroupPolicy(Create):
    """Create the NetworkPolicy of a Job on several nodes; the Job owns it."""

    job_uid: str


class IsolatePods(Create):
    """Create the NetworkPolicy for all run pods of the namespace; replace one of that name that says something else.

    `Observed.isolated` of the next decision, of whatever run of the namespace, says that it was done.
    """


@dataclass(frozen=True)
class DeleteJob:
    """Delete the Job and its pods (propagationPolicy Background). That it is gone already counts as done."""

    name: str


@dataclass(frozen=True)
class SuspendJob:
    """Set `spec.suspend` of a Job that no queue manages."""

    name: str
    suspend: bool


@dataclass(frozen=True)
class SetWorkloadActive:
    """Set `spec.active` of a Kueue Workload: how a queued Job is paused and continued."""

    name: str
    active: bool


@dataclass(frozen=True)
class ReadObjects:
    """List the run's Jobs, then their pods, and forget those that are gone; `Observed.read` says when that began."""


@dataclass(frozen=True)
class ReadWarnings:
    """List the Warning Events of a Job or pod; the answer is `Observed.warnings` of the next decision."""

    about: str
    kind: Literal["Job", "Pod"] = "Job"


@dataclass(frozen=True)
class ReadGpuMemory:
    """Read a label with MiB from the nodes that a label selector matches; the answer is `Observed.gpu_memory`."""

    label: str
    selector: str


Action = (
    CreateJob
    | CreateService
    | CreateGroupPolicy
    | IsolatePods
    | DeleteJob
    | SuspendJob
    | SetWorkloadActive
    | ReadObjects
    | ReadWarnings
    | ReadGpuMemory
)


@dataclass(frozen=True)
class Event:
    """A Kubernetes Event about the resource."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Decision(Generic[StatusT, ActionT]):
    """Apply in this order: actions, the status (only where it differs), the Events, the actions that follow.

    A failed action stops the order: the status is written only when what it says was done. `follow_up` holds what may
    be done only once the status says why, such as the deletion of a Job whose result the status holds.
    """

    status: StatusT
    actions: tuple[ActionT, ...] = ()
    events: tuple[Event, ...] = ()
    #: Seconds until the next look, though nothing may change until then; None: changes alone decide.
    requeue_after: float | None = None
    follow_up: tuple[ActionT, ...] = ()
    #: When each fact of the present was first seen, by the monotonic clock: `Observed.first_seen` of the next decision.
    first_seen: Mapping[Fact, float] = field(default_factory=dict)


def soonest(*seconds: float | None) -> float | None:
    """Return the smallest of the times that are given, such as `requeue_after`."""
    return min((value for value in seconds if value is not None), default=None)


RunDecision = Decision[LoRAFineTuneStatus, Action]
