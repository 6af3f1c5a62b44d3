"""A spec that was edited while its stage is under way: how the run reaches S3, what it asks for, how it waits.

The template of a Job cannot change. So the Job is made anew, from the spec as it stands, as soon as no pod of it runs;
until then the status says that the pod that runs goes on as it was started.
"""

from __future__ import annotations

from lora_contract.exit_codes import FINAL, ExitCode
from lora_contract.names import RunStage
from lora_contract.reasons import Reason
from lora_contract.status import Phase
from lora_operator.core.manifests.job import request_hash
from lora_operator.core.observe.observed import Job
from lora_operator.core.record.attempts import counted_failures
from lora_operator.core.run.decision import DeleteJob
from lora_operator.core.run.outcome import UnderWay
from lora_operator.core.run.run import Run

_LATER = "The spec was edited: the change takes effect with the next pod."


def make_anew(run: Run, stage: RunStage, job: Job) -> UnderWay | None:
    """Delete a Job that was made from another spec, once the status says why; None: it was not, or it must stay.

    It stays while a pod of it runs, and where it has ended or is about to: with its work done, by an error that another
    pod would meet again, or because the retries are used up.
    """
    ends = any(pod.exit_code == ExitCode.DONE or pod.exit_code in FINAL for pod in run.present_pods(stage))
    if ends or counted_failures(run.status) > run.spec.retries or _runs(run, stage) or not _is_edited(run, stage, job):
        return None
    text = f"The spec was edited: the {stage} Job is made anew from it."
    return UnderWay(Phase.PENDING, Reason.PENDING, text, run.status, follow_up=(DeleteJob(job.name),))


def record_edits(run: Run) -> Run:
    """Add a warning while the pod that runs does not yet heed an edit of the spec."""
    job = run.job(run.stage)
    waits = job is not None and not job.finished and _runs(run, run.stage) and _is_edited(run, run.stage, job)
    warnings = [text for text in run.status.warnings if text != _LATER] + ([_LATER] if waits else [])
    return run if warnings == run.status.warnings else run.with_status(warnings=warnings)


def _is_edited(run: Run, stage: RunStage, job: Job) -> bool:
    """Return whether the Job was made from another spec; a Job of an earlier release does not say from which."""
    return bool(job.request_hash) and job.request_hash != request_hash(run.spec, stage)


def _runs(run: Run, stage: RunStage) -> bool:
    pods = [pod for pod in run.present_pods(stage) if not pod.finished and not pod.gone]
    return any(pod.running_since is not None for pod in pods)
