"""Jobs in no queue: `spec.suspend` of the Job is ours alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lora_contract.reasons import Reason
from lora_contract.status import QueueStatus
from lora_operator.core.observe.observed import Job, Workload
from lora_operator.core.queues.port import Place
from lora_operator.core.run.decision import Action, SuspendJob
from lora_operator.core.run.run import Run


def is_paused(_run: Run, job: Job) -> bool:
    """Return whether the Job is suspended."""
    return job.suspended


def is_held(job: Job, _workloads: Sequence[Workload]) -> bool:
    """Return whether the Job is suspended."""
    return job.suspended


def pause(_run: Run, job: Job) -> tuple[Action, ...]:
    """Suspend the Job."""
    return () if job.suspended else (SuspendJob(job.name, suspend=True),)


def resume(_run: Run, job: Job) -> tuple[Action, ...]:
    """Let the Job go on."""
    return (SuspendJob(job.name, suspend=False),) if job.suspended else ()


def is_between(_run: Run, _job: Job, *, stopping: bool) -> bool:
    """Return False: there is no quota."""
    return False


def place(_run: Run, _job: Job) -> Place:
    """Explain that the Job is about to be let go on."""
    return Place(Reason.STARTING, "The Job is suspended and is let go on.")


def status_of(_run: Run, _job: Job, _since: datetime | None) -> QueueStatus | None:
    """Return None: there is no queue."""
    return None


def preempted_by(_run: Run, _job: Job) -> str | None:
    """Return None: there is no quota."""
    return None
