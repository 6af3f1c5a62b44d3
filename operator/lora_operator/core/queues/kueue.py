"""Kueue: how a Job is put into a queue, what Kueue says about it, how it is paused and continued."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lora_contract.conditions import ConditionType
from lora_contract.finetune.platform import SchedulingSpec
from lora_contract.outside import shorten
from lora_contract.reasons import Reason
from lora_contract.status import QueueStatus
from lora_contract.times import format_time
from lora_operator.core.observe.observed import KUEUE_QUEUE_LABEL, Job, ObjectCondition, Workload
from lora_operator.core.observe.sight import Fact, Sight
from lora_operator.core.queues.port import Place, waits_in
from lora_operator.core.run import limits
from lora_operator.core.run.decision import Action, SetWorkloadActive
from lora_operator.core.run.run import Run

_PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"
_MAX_SECONDS_LABEL = "kueue.x-k8s.io/max-exec-time-seconds"
#: All pods of a Job at once, or none.
SAME_SIZE_ANNOTATION = "kueue.x-k8s.io/job-completions-equal-parallelism"

_TAKEN_BACK = "Kueue took the quota back."
_MAX_MESSAGE = 700
_MAX_REASON = 128
#: Reasons of newer versions of Kueue, parts of the messages of older ones, and what to do about them.
_ADVICE = (
    ("doesn't exist", "Correct scheduling.queueName, or ask the platform team for the queue."),
    ("is stopped", "An administrator stopped the queue; the run goes on when it is started again."),
    ("is inactive", "It is stopped or not set up: ask the platform team; the run goes on once it works."),
    ("maximum capacity", "Waiting does not help: change compute, or ask for more quota."),
    ("ExceedsMaxQuota", "Waiting does not help: change compute, or ask for more quota."),
    ("NoMatchingFlavor", "Waiting does not help: change compute.nodeSelector or tolerations, or ask for a flavor."),
    ("Misconfigured", "Waiting does not help: the platform team has to repair the queue."),
    ("Inadmissible", "Waiting does not help: change compute, or ask the platform team about the queue."),
)
#: Places up to this one are shown exactly, later ones rounded up to a multiple of it: fewer writes.
_EXACT_PLACES = 10


def job_labels(scheduling: SchedulingSpec) -> dict[str, str]:
    """Build the labels by which Kueue takes in a Job."""
    labels = {KUEUE_QUEUE_LABEL: scheduling.queue_name or ""}
    if scheduling.priority_class:
        labels[_PRIORITY_LABEL] = scheduling.priority_class
    if scheduling.max_execution_seconds:
        labels[_MAX_SECONDS_LABEL] = str(scheduling.max_execution_seconds)
    return labels


def is_paused(run: Run, job: Job) -> bool:
    """Return whether we switched the Workload off."""
    workload = run.observed.workload_of(job)
    return run.was_held and workload is not None and not workload.active


def is_held(job: Job, workloads: Sequence[Workload]) -> bool:
    """Return whether the Workload of a Job is switched off."""
    mine = [workload for workload in workloads if workload.job_uid == job.uid]
    return bool(mine) and not any(workload.active for workload in mine)


def pause(run: Run, job: Job) -> tuple[Action, ...]:
    """Switch the Workload off, never the Job itself, which belongs to Kueue."""
    workload = run.observed.workload_of(job)
    if workload is None or not workload.active:
        return ()
    return (SetWorkloadActive(workload.name, active=False),)


def resume(run: Run, job: Job) -> tuple[Action, ...]:
    """Switch the Workload on again; one that somebody else switched off stays off."""
    workload = run.observed.workload_of(job)
    if workload is None or workload.active or not run.was_held:
        return ()
    return (SetWorkloadActive(workload.name, active=True),)


def place(run: Run, job: Job) -> Place:
    """Explain why the queued Job does not run."""
    workload = run.observed.workload_of(job)
    queue = _name_of(job, workload)
    waited = run.seen_for(Fact(Sight.JOB, job.uid))
    if not run.observed.kueue_installed and workload is None:
        return Place(
            Reason.QUEUED,
            f"Waiting for queue {queue}, but Kueue is not installed in this cluster. Install Kueue,"
            " or create the run without scheduling.queueName.",
        )
    if workload is None:
        return _no_workload(run, job, queue, waited)
    if given_up := _given_up(workload):
        return given_up
    if not workload.active and not run.was_held:
        return Place(Reason.QUEUED, f"Held in queue {queue}: the Workload {workload.name} was deactivated.")
    if evicted := _evicted(workload):
        return Place(evicted[0], shorten(f"{evicted[1]} Waiting in queue {queue} again.", _MAX_MESSAGE))
    if waited < limits.SETTLE:
        return Place(Reason.QUEUED, waits_in(queue), look_again=limits.SETTLE - waited)
    if _reserved(workload) is not None:
        return Place(Reason.QUEUED, f"Quota in queue {queue} is reserved; waiting for its admission checks.")
    position = _rounded(run.observed.queue_position)
    if position is not None:
        queue += ", next" if position == 1 else f", place {position}"
    return Place(Reason.QUEUED, _pending(workload, queue))


def is_between(run: Run, job: Job, *, stopping: bool) -> bool:
    """Return whether a suspended Job has quota for a moment only: about to start, or stopped before Kueue says why."""
    reserved = _reserved(run.observed.workload_of(job))
    settling = run.seen_for(Fact(Sight.QUOTA_RESERVED, job.uid)) < limits.SETTLE
    return reserved is not None and (stopping or settling)


def _reserved(workload: Workload | None) -> ObjectCondition | None:
    return _true(workload.condition("QuotaReserved")) if workload is not None else None


def status_of(run: Run, job: Job, since: datetime | None) -> QueueStatus:
    """Build `status.queue` of a Job that waits since a moment."""
    workload = run.observed.workload_of(job)
    reserved = workload.condition("QuotaReserved") if workload else None
    evicted = _evicted(workload) if workload else None
    return QueueStatus(
        local_queue=_name_of(job, workload),
        position=_rounded(run.observed.queue_position),
        reason=reserved.reason[:_MAX_REASON] or None if reserved and not reserved.true else None,
        since=format_time(since) if since else None,
        evicted_because=shorten(evicted[1], _MAX_MESSAGE) if evicted else None,
    )


def _rounded(position: int | None) -> int | None:
    if position is None or position <= _EXACT_PLACES:
        return position
    return -(-position // _EXACT_PLACES) * _EXACT_PLACES


def preempted_by(run: Run, job: Job) -> str | None:
    """Return Kueue's message where it took the quota back; None where it did not.

    Kueue may give quota again while the pod still saves its checkpoint, and forgets its message then: that in
    `status.queue` counts too.
    """
    workload = run.observed.workload_of(job)
    evicted = None if workload is None else _evicted(workload)
    if evicted is not None:
        return evicted[1]
    ready = run.before.condition(ConditionType.READY)
    if ready is not None and ready.reason == Reason.PREEMPTED:
        told = run.before.queue.evicted_because if run.before.queue is not None else None
        return told or _TAKEN_BACK
    # Only Kueue suspends a Job that waits in a queue; the watch of Workloads may be behind that of Jobs.
    return _TAKEN_BACK if job.suspended and (workload is None or workload.active) else None


def _name_of(job: Job, workload: Workload | None) -> str:
    """Name the LocalQueue a Job waits in; Kueue can be set up to take in Jobs that name none."""
    return job.queue or (workload.queue_name if workload is not None else None) or ""


def _no_workload(run: Run, job: Job, queue: str, waited: float) -> Place:
    if waited < limits.QUEUE_GRACE:
        return Place(Reason.QUEUED, waits_in(queue), look_again=limits.QUEUE_GRACE - waited)
    warnings = run.observed.warnings
    said = warnings.items[0].message if warnings and warnings.about == job.name and warnings.items else ""
    priority = run.spec.scheduling.priority_class
    asked = f" a WorkloadPriorityClass {priority}," if priority else ""
    text = (
        f"Queue {queue} does not take the Job: is there a LocalQueue {queue} in this namespace,{asked}"
        f" and does Kueue run and manage the namespace? {said}"
    )
    return Place(Reason.QUEUED, shorten(text.strip(), _MAX_MESSAGE))


def _given_up(workload: Workload) -> Place | None:
    finished = _true(workload.condition("Finished"))
    if finished and finished.reason not in ("Succeeded", "Failed", "JobFinished"):
        return Place(Reason.ADMISSION_DENIED, f"Kueue gave the Job up: {finished.message}", failed=True)
    evicted = _true(workload.condition("Evicted"))
    if evicted and not workload.active:
        if "MaximumExecutionTimeExceeded" in evicted.reason:
            text = "The Job ran longer than scheduling.maxExecutionSeconds."
            return Place(Reason.DEADLINE_EXCEEDED, text, failed=True)
        if "RequeuingLimitExceeded" in evicted.reason:
            return Place(Reason.RETRIES_EXHAUSTED, f"Kueue gave the Job up: {evicted.message}", failed=True)
    return None


def _evicted(workload: Workload) -> tuple[Reason, str] | None:
    """Find that quota was taken back and not given again. Being switched off by us is no eviction."""
    evicted = _true(workload.condition("Evicted"))
    if evicted is None or not workload.active or _reserved(workload):
        return None
    if evicted.reason.startswith("Deactivated"):
        return None
    reason = Reason.PREEMPTED if evicted.reason == "Preempted" else Reason.EVICTED
    return reason, _sentence(evicted.message.strip() or f"Kueue took the quota back ({evicted.reason})")


def _pending(workload: Workload, queue: str) -> str:
    reserved = workload.condition("QuotaReserved")
    if reserved is None:
        return f"Waiting in queue {queue}, behind other runs or not yet looked at."
    said = f"{reserved.reason}: {reserved.message}"
    advice = next((f" {text}" for words, text in _ADVICE if words in said), "")
    message = _sentence(reserved.message) if advice else reserved.message
    return shorten(f"Waiting in queue {queue} ({reserved.reason}): {message}{advice}", _MAX_MESSAGE)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _true(condition: ObjectCondition | None) -> ObjectCondition | None:
    return condition if condition is not None and condition.true else None
