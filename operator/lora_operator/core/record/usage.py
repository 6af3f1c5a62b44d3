"""Where the wall time of a run went: `status.usage`.

Every second between the first look and the end belongs to one of four: staging, queue, suspended, train. Each change
from one to the next (a stage's end, a pod's start or end, a pause) books the time since the last one, so the four add
up to the wall time by construction, and a change that was booked is never booked again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from lora_contract.changes import UsageChanges, change_status, change_usage
from lora_contract.report import Timing
from lora_contract.status import AttemptStatus, LoRAFineTuneStatus, UsageStatus
from lora_contract.times import parse_time
from lora_operator.core.run.run import Run
from lora_operator.settings import Price

Account = Literal["staging_seconds", "queue_seconds", "suspended_seconds"]


def add_usage(status: LoRAFineTuneStatus, account: Account, moment: datetime | None) -> LoRAFineTuneStatus:
    """Put all time up to a moment that is not booked yet on one account."""
    seconds = _not_counted(status, moment)
    if not seconds:
        return status
    usage = status.usage or UsageStatus()
    match account:
        case "staging_seconds":
            usage = change_usage(usage, staging_seconds=usage.staging_seconds + seconds)
        case "queue_seconds":
            usage = change_usage(usage, queue_seconds=usage.queue_seconds + seconds)
        case "suspended_seconds":
            usage = change_usage(usage, suspended_seconds=usage.suspended_seconds + seconds)
    return change_status(status, usage=usage)


def account_of_waits(run: Run) -> Account:
    """Choose the account of the time in which no train pod runs and spec.suspend does not hold the run."""
    return "queue_seconds" if run.prepared else "staging_seconds"


def counted_until(status: LoRAFineTuneStatus) -> datetime | None:
    """Return up to when all time is booked: the present wait began then."""
    start = parse_time(status.start_time)
    try:
        return None if start is None else start + timedelta(seconds=_counted_seconds(status))
    except OverflowError:  # somebody wrote times of far centuries into a pod
        return None


def with_attempt(
    status: LoRAFineTuneStatus,
    attempt: AttemptStatus,
    *,
    gpus: int,
    timing: Timing | None,
    price: Price | None = None,
) -> LoRAFineTuneStatus:
    """Add the time of a train pod that ended.

    `gpus` counts those of all nodes. Steps lost are those that the pod reported; one that was stopped before it could
    report is compared with the pod before it.
    """
    usage = status.usage or UsageStatus()
    seconds = _seconds(parse_time(attempt.start_time), parse_time(attempt.end_time))
    lost = timing.lost_steps if timing is not None else _lost_steps(status, attempt)
    usage = change_usage(
        usage,
        train_seconds=usage.train_seconds + seconds,
        gpu_seconds=usage.gpu_seconds + gpus * seconds,
        lost_steps=usage.lost_steps + lost,
    )
    usage = change_usage(usage, **_cost(usage, gpus * seconds, price))
    if timing is not None:
        idle = timing.seconds_before_first_step + timing.seconds_after_last_step
        idle_seconds = usage.gpu_idle_seconds + min(gpus * seconds, round(gpus * idle))
        usage = change_usage(usage, gpu_idle_seconds=idle_seconds)
    return change_status(status, usage=usage)


def _cost(usage: UsageStatus, gpu_seconds: int, price: Price | None) -> UsageChanges:
    """Add up each pod at the price of its day; with another currency the sum begins anew."""
    if price is None or not gpu_seconds:
        return {}
    before = Decimal(usage.cost or 0) if usage.currency == price.currency else Decimal(0)
    cost = before + price.per_hour * gpu_seconds / 3600
    return {"cost": f"{cost:.4f}", "currency": price.currency}


def _not_counted(status: LoRAFineTuneStatus, moment: datetime | None) -> int:
    known = _counted_seconds(status)
    running = [parse_time(a.start_time) for a in status.attempts if a.stage == "train" and a.end_time is None]
    known += sum(_seconds(start, moment) for start in running)
    return max(0, _seconds(parse_time(status.start_time), moment) - known)


def _counted_seconds(status: LoRAFineTuneStatus) -> int:
    usage = status.usage or UsageStatus()
    return usage.staging_seconds + usage.queue_seconds + usage.suspended_seconds + usage.train_seconds


def _lost_steps(status: LoRAFineTuneStatus, attempt: AttemptStatus) -> int:
    """Count the steps that the pod before did beyond the step that this one started from."""
    before = [a for a in status.attempts if a.stage == "train" and a.pod != attempt.pod and a.last_step is not None]
    if not before or attempt.from_step is None:
        return 0
    return max(0, (before[-1].last_step or 0) - attempt.from_step)


def _seconds(start: datetime | None, end: datetime | None) -> int:
    if start is None or end is None:
        return 0
    return max(0, int(end.timestamp()) - int(start.timestamp()))
