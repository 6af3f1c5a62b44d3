"""Whether a run used up what `spec.limits` lets it use: it is stopped after a checkpoint until the limit is raised."""

from __future__ import annotations

from lora_contract.reasons import Reason
from lora_operator.core.checks.refused import refusal
from lora_operator.core.record.spending import limit_reached
from lora_operator.core.run.outcome import Refused
from lora_operator.core.run.run import Run

_RAISE = "Raise or remove the limit: the run then goes on from its last checkpoint by itself."


def check_limits(run: Run) -> Refused | None:
    """Stop a run that reached a limit. What its last pod finished meanwhile counts, and spec.suspend is told first."""
    job = run.job(run.stage)
    if run.spec.suspend or (job is not None and job.finished):
        return None
    limit = limit_reached(run)
    return None if limit is None else refusal(run, Reason.LIMIT_REACHED, limit.message, _RAISE)
