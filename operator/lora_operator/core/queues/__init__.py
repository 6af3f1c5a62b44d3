"""What decides when a Job runs: a queue system, or nothing but the Job itself.

`port.py` says what the rest of core asks of it. A new queue system is a module beside `kueue.py`, a kind that is
watched (`effects/kinds.py`) and a rule of the chart.
"""

from __future__ import annotations

from collections.abc import Sequence

from lora_operator.core.observe.observed import Job, Workload
from lora_operator.core.queues import kueue, unqueued
from lora_operator.core.queues.port import Place, Queue, waits_in

__all__ = ["Place", "Queue", "queue_of", "waits_in"]


def queue_of(job: Job, workloads: Sequence[Workload]) -> Queue:
    """Return what decides when a Job runs: the queue that it names or that has a Workload for it, else it alone."""
    queued = job.queue is not None or any(workload.job_uid == job.uid for workload in workloads)
    return kueue if queued else unqueued
