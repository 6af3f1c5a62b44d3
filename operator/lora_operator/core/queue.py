"""What Kueue says about a train Job that waits for its quota."""

from __future__ import annotations

from dataclasses import dataclass

from lora_contract.reasons import Reason
from lora_contract.report import shorten
from lora_operator.core import limits
from lora_operator.core.observed import Job, ObjectCondition, Workload
from lora_operator.core.run import Run

_MAX_MESSAGE = 700
#: Waiting does not help: the request or the queue must change.
_NEVER_FITS = ("ExceedsMaxQuota", "NoMatchingFlavor", "Misconfigured", "Inadmissible")


@dataclass(frozen=True)
class Place:
    """Where a Job stands in its queue. `failed`: Kueue gave it up for good."""

    reason: Reason
    message: str
    failed: bool = False
    look_again: float | None = None


def place(run: Run, job: Job) -> Place:
    """Why the queued Job does not run."""
    workload = run.observed.workload_of(job)
    queue = name_of(job, workload)
    waited = run.since(job.created)
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
    if not workload.active and not run.was_suspended:
        return Place(Reason.QUEUED, f"Held in queue {queue}: the Workload {workload.name} was deactivated.")
    if evicted := _evicted(workload):
        return Place(evicted[0], shorten(f"{evicted[1]} Waiting in queue {queue} again.", _MAX_MESSAGE))
    if waited < limits.SETTLE:
        return Place(Reason.QUEUED, _plain(queue), look_again=limits.SETTLE - waited)
    return Place(Reason.QUEUED, _pending(workload, queue))


def name_of(job: Job, workload: Workload | None) -> str:
    """The LocalQueue a Job waits in; Kueue can be set up to take in Jobs that name none."""
    return job.queue or (workload.queue_name if workload is not None else None) or ""


def preempted(workload: Workload | None) -> str | None:
    """Kueue's words where it took the quota back; None where it did not."""
    evicted = None if workload is None else _evicted(workload)
    return None if evicted is None else evicted[1]


def _plain(queue: str) -> str:
    return f"Waiting in queue {queue}."


def _no_workload(run: Run, job: Job, queue: str, waited: float) -> Place:
    if waited < limits.QUEUE_GRACE:
        return Place(Reason.QUEUED, _plain(queue), look_again=limits.QUEUE_GRACE - waited)
    warnings = run.observed.warnings
    said = warnings.items[0][1] if warnings and warnings.job == job.name and warnings.items else ""
    text = (
        f"Queue {queue} does not take the Job: is there a LocalQueue {queue} in this namespace, the priority"
        f" class, and does Kueue run? {said}"
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
    """Quota was taken back and not given again. Its being switched off by us is no eviction to tell of."""
    evicted = _true(workload.condition("Evicted"))
    if evicted is None or not workload.active or _true(workload.condition("QuotaReserved")):
        return None
    if evicted.reason.startswith("Deactivated"):
        return None
    reason = Reason.PREEMPTED if evicted.reason == "Preempted" else Reason.EVICTED
    return reason, evicted.message.strip() or f"Kueue took the quota back ({evicted.reason})."


def _pending(workload: Workload, queue: str) -> str:
    reserved = workload.condition("QuotaReserved")
    if reserved is None:
        return f"{_plain(queue)[:-1]}, behind other runs or not yet looked at."
    if reserved.true:
        return f"Quota in queue {queue} is reserved; waiting for its admission checks."
    advice = " Waiting does not help: change compute, or ask for quota." if reserved.reason in _NEVER_FITS else ""
    return shorten(f"Waiting in queue {queue} ({reserved.reason}): {reserved.message}{advice}", _MAX_MESSAGE)


def _true(condition: ObjectCondition | None) -> ObjectCondition | None:
    return condition if condition is not None and condition.true else None
