"""What the operator reads from a pod."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Self

from lora_contract import names, report
from lora_contract.outside import MAX_WORD, text_of
from lora_contract.report import Report
from lora_contract.times import parse_time

JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
_JOB_UID_LABEL = "batch.kubernetes.io/controller-uid"
_INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
_MAX_EXIT_MESSAGE = 4 * report.MAX_BYTES


@dataclass(frozen=True)
class Pod:
    """A pod of a stage, with the state of its one container."""

    name: str
    uid: str
    #: The Job that counts it as its own: the Job controller selects pods by these labels.
    job_name: str
    job_uid: str
    #: Which of the Job's pods it is; the one of index 0 speaks for the run.
    index: int
    node: str | None
    phase: str
    created: datetime
    #: The object no longer exists; this is its last known state.
    gone: bool
    deleting: bool
    #: Grace period of its deletion in seconds.
    deletion_seconds: int
    #: The node stopped answering: the cluster says not ready, the kubelet's last report of the container was good.
    unreachable: bool
    status_reason: str
    status_message: str
    #: PodScheduled is False: the scheduler's reason and message.
    unscheduled: tuple[str, str] | None
    #: DisruptionTarget is True: reason and message.
    disruption: tuple[str, str] | None
    #: The container waits: reason and message.
    waiting: tuple[str, str] | None
    running_since: datetime | None
    started: datetime | None
    ended: datetime | None
    exit_code: int | None
    #: Containers besides ours that have not ended, such as something injected. Native sidecars end by themselves.
    others: tuple[str, ...]
    #: Init containers that have to end before ours starts; there are none but injected ones.
    initializing: tuple[str, ...]
    exit_reason: str
    #: As written: `report` decodes it, and what shows it shortens it.
    exit_message: str

    @classmethod
    def from_dict(cls, body: Mapping[str, Any], *, gone: bool = False) -> Self:
        """Read an object of the API; `gone`: it was deleted, and this is its last state."""
        metadata, status = body["metadata"], body.get("status") or {}
        labels = metadata.get("labels") or {}
        index = str(labels.get(_INDEX_LABEL, ""))
        state = _container_state(status)
        running, ended = state.get("running") or {}, state.get("terminated") or {}
        running_since = parse_time(running.get("startedAt"))
        init_containers = (body.get("spec") or {}).get("initContainers") or ()
        native_sidecars = {each.get("name") for each in init_containers if each.get("restartPolicy") == "Always"}
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            job_name=str(labels.get(JOB_NAME_LABEL, "")),
            job_uid=str(labels.get(_JOB_UID_LABEL, "")),
            index=int(index) if index.isdecimal() else 0,
            node=text_of((body.get("spec") or {}).get("nodeName"), MAX_WORD) or None,
            phase=str(status.get("phase") or "Pending"),
            created=parse_time(metadata.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
            gone=gone,
            deleting=bool(metadata.get("deletionTimestamp")),
            deletion_seconds=int(metadata.get("deletionGracePeriodSeconds") or 0),
            unreachable=_unreachable(status),
            status_reason=text_of(status.get("reason"), MAX_WORD),
            status_message=text_of(status.get("message")),
            unscheduled=_condition(status, "PodScheduled", "False"),
            disruption=_condition(status, "DisruptionTarget", "True"),
            waiting=_reason_and_message(state.get("waiting")),
            running_since=running_since,
            started=running_since or parse_time(ended.get("startedAt")),
            ended=parse_time(ended.get("finishedAt")),
            exit_code=ended.get("exitCode"),
            others=_unfinished(status, "containerStatuses", besides={names.CONTAINER}),
            initializing=_unfinished(status, "initContainerStatuses", besides=native_sidecars),
            exit_reason=text_of(ended.get("reason"), MAX_WORD),
            exit_message=str(ended.get("message") or "")[:_MAX_EXIT_MESSAGE],
        )

    @property
    def report(self) -> Report | None:
        """What the pod said at its end."""
        return _report(self.exit_message)

    @property
    def kept_by(self) -> tuple[str, ...]:
        """The containers that keep the pod though its work is over."""
        over = self.exit_code is not None and not self.gone and self.phase not in ("Succeeded", "Failed")
        return self.others if over else ()

    @property
    def speaks(self) -> bool:
        """Whether its report is that of the run."""
        return self.index == 0

    @property
    def finished(self) -> bool:
        """Whether it will do nothing any more."""
        return self.gone or self.phase in ("Succeeded", "Failed") or self.exit_code is not None


@lru_cache(maxsize=256)
def _report(message: str) -> Report | None:
    """Parse a report, kept for the few pods that are looked at, not for all that exist."""
    return report.decode(message)


def _container_state(status: Mapping[str, Any]) -> Mapping[str, Any]:
    for container in status.get("containerStatuses") or ():
        if container.get("name") == names.CONTAINER:
            state: Mapping[str, Any] = container.get("state") or {}
            return state
    return {}


def _unfinished(status: Mapping[str, Any], part: str, *, besides: Set[str]) -> tuple[str, ...]:
    """Name the containers in a part of the status that have not ended, but for some."""
    containers = [each for each in status.get(part) or () if each.get("name") not in besides]
    unfinished = [each for each in containers if "terminated" not in (each.get("state") or {})]
    return tuple(text_of(each.get("name"), MAX_WORD) for each in unfinished)


def _reason_and_message(part: Mapping[str, Any] | None) -> tuple[str, str] | None:
    if part is None:
        return None
    return text_of(part.get("reason"), MAX_WORD), text_of(part.get("message"))


def _unreachable(status: Mapping[str, Any]) -> bool:
    """Return whether the node stopped answering: only its controller sets Ready without ContainersReady."""
    not_ready = _condition(status, "Ready", "False") is not None
    return not_ready and _condition(status, "ContainersReady", "True") is not None


def _condition(status: Mapping[str, Any], kind: str, wanted: str) -> tuple[str, str] | None:
    for item in status.get("conditions") or ():
        if item.get("type") == kind and item.get("status") == wanted:
            return _reason_and_message(item)
    return None
