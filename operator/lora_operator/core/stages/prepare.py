"""The prepare stage: model and data are checked before a GPU is asked for, and once more where a report was lost."""

from __future__ import annotations

from lora_operator.core.record.attempts import lacks_report
from lora_operator.core.run.outcome import Outcome
from lora_operator.core.run.run import Run
from lora_operator.core.stages.loss import found_nothing
from lora_operator.core.stages.stage_job import create_job, follow_job


def check_prepare(run: Run) -> Outcome | None:
    """Bring the prepare Job forward; None: prepare is done, and latched."""
    if run.prepared:
        return None
    job = run.job("prepare")
    return create_job(run, "prepare") if job is None else follow_job(run, "prepare", job)


def check_lost_report(run: Run) -> Outcome | None:
    """Let prepare look for what a train pod published whose report was lost; None: nothing was lost."""
    if not lacks_report(run.status, "train"):
        return None
    job = run.job("prepare")
    if job is None:
        return create_job(run, "prepare")
    return found_nothing(run, job) if job.finished else follow_job(run, "prepare", job)
