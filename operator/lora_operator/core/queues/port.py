"""What core asks of a queue system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lora_contract.reasons import Reason
from lora_contract.status import QueueStatus
from lora_operator.core.observe.observed import Job, Workload
from lora_operator.core.run.decision import Action
from lora_operator.core.run.run import Run


@dataclass(frozen=True)
class Place:
    """Where a Job stands in its queue. `failed`: the queue gave it up for good."""

    reason: Reason
    message: str
    failed: bool = False
    look_again: float | None = None


def waits_in(queue: str) -> str:
    """Word that a Job waits in a queue, where there is nothing else to say of it."""
    return f"Waiting in queue {queue}."


class Queue(Protocol):
    """What decides when a Job runs. Its implementations are modules."""

    def is_paused(self, run: Run, job: Job) -> bool:
        """Return whether we stopped a Job, or are about to; one that waits in a queue may be stopped by others."""

    def is_held(self, job: Job, workloads: Sequence[Workload]) -> bool:
        """Return whether a Job waits for us and not for quota: spec.suspend held it, and nobody let it go on yet."""

    def pause(self, run: Run, job: Job) -> tuple[Action, ...]:
        """Stop the pods of a Job that has not ended; no actions where that is done."""

    def resume(self, run: Run, job: Job) -> tuple[Action, ...]:
        """Let a Job go on that we stopped; no actions where it goes on."""

    def is_between(self, run: Run, job: Job, *, stopping: bool) -> bool:
        """Return whether a suspended Job has quota for a moment: it starts, or the queue does not say yet why not."""

    def place(self, run: Run, job: Job) -> Place:
        """Explain why a suspended Job does not run."""

    def status_of(self, run: Run, job: Job, since: datetime | None) -> QueueStatus | None:
        """Build `status.queue` of a Job that waits since a moment."""

    def preempted_by(self, run: Run, job: Job) -> str | None:
        """Explain why the quota of a Job was taken back, by the message of the queue; None where it was not."""
