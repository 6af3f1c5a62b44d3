"""The train stage: it begins once no identical run trains and the run fits a GPU."""

from __future__ import annotations

from lora_operator.core.run.outcome import Outcome
from lora_operator.core.run.run import Run
from lora_operator.core.stages.gpu_fit import check_gpu_fit
from lora_operator.core.stages.identical import wait_for_identical
from lora_operator.core.stages.stage_job import create_job, follow_job


def check_train(run: Run) -> Outcome:
    """Bring the train Job forward: not started, queued, starting, running, or at its end."""
    job = run.job("train")
    if (waits := wait_for_identical(run, job)) is not None:
        return waits
    if job is None:
        fit = check_gpu_fit(run)
        return fit.outcome or create_job(fit.run, "train")
    return follow_job(run, "train", job)
