"""What decides when a Job runs: a queue system, or nothing but the Job itself.

`port.py` says what the rest of core asks of it. A new queue system is a module beside `kueue.py`, a kind that is
watched (`effects/kinds.py`) and a rule of the chart.
"""

from __future__ import annotations

from lora_operator.core.observe.observed import Job, Observed
from lora_operator.core.queues import kueue, unqueued
from lora_operator.core.queues.port import Place, Queue

__all__ = ["Place", "Queue", "queue_of"]


def queue_of(observed: Observed, job: Job) -> Queue:
    """What decides when a Job runs."""
    return kueue if observed.queued(job) else unqueued
