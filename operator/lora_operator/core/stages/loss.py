"""What should be there and is not: nothing is concluded from that before the API server was asked once more.

The cache lags behind for as long as the API server is away: that a Job, a pod or a report is not in it says nothing.
So the run's Jobs and pods are read anew, after the moment at which this process first missed the thing. A report that
is missing then is lost. The same is done when a pod was stopped, because why it was may stand on its Job, and kinds of
objects are not seen in one order. A run whose report is lost does not fail yet: prepare looks once more, and
finds in S3 what was published.
"""

from __future__ import annotations

from collections.abc import Iterator

from lora_contract import exit_codes, names
from lora_contract.names import RunStage
from lora_contract.reasons import Reason
from lora_contract.status import Phase
from lora_operator.core.causes.pod_end import End
from lora_operator.core.observe.observed import Job
from lora_operator.core.observe.pod import Pod
from lora_operator.core.observe.sight import Fact, Sight
from lora_operator.core.record.attempts import lacks_report, without_report
from lora_operator.core.run import limits
from lora_operator.core.run.decision import Event
from lora_operator.core.run.outcome import Failed, UnderWay
from lora_operator.core.run.run import Run
from lora_operator.core.stages.results import failure, job_failed, report_of


def absences(run: Run) -> Iterator[Fact]:
    """List what the status or a Job refers to and the cache does not hold, and pods that somebody stopped."""
    for job in run.observed.jobs:
        if job.finished and not _is_explained(run, job):
            yield Fact(Sight.REPORT_ABSENT, job.uid)
    if _is_latched(run):
        return
    if run.job(run.stage) is None and existed(run, run.stage):
        yield Fact(Sight.JOB_ABSENT, run.job_names[run.stage])
    seen = {pod.name for pod in run.observed.pods}
    for attempt in run.status.attempts:
        if attempt.end_time is None and attempt.pod not in seen:
            yield Fact(Sight.POD_ABSENT, attempt.pod or "")
    over = {attempt.pod for attempt in run.status.attempts if attempt.end_time}
    for pod in run.pods(run.stage):
        if _was_stopped(pod) and pod.name not in over:
            yield Fact(Sight.POD_ABSENT, pod.name)


def must_read(run: Run) -> bool:
    """Return whether the run's Jobs and pods have to be read before anything is concluded.

    A Job often ends a moment before its pod's end is seen: that moment is waited for.
    """
    for fact in absences(run):
        certain = run.observed.read is not None and run.observed.read > run.first_seen[fact]
        if not certain and (fact.sight is not Sight.REPORT_ABSENT or run.seen_for(fact) >= limits.SETTLE):
            return True
    return False


def existed(run: Run, stage: RunStage) -> bool:
    """Return whether the status as found says that this stage's Job was created."""
    if run.superseded:
        return False
    if stage == "prepare":
        return run.before.phase == Phase.PREPARING
    return run.before.phase in (Phase.QUEUED, Phase.RUNNING, Phase.PUBLISHING)


def wait_for_report(run: Run, job: Job) -> float | None:
    """Count the seconds until a finished Job without a report is looked at again; None: it is seen, or lost."""
    waited = run.seen_for(Fact(Sight.REPORT_ABSENT, job.uid))
    return limits.SETTLE - waited if not _is_explained(run, job) and waited < limits.SETTLE else None


def lost(run: Run, stage: RunStage, job: Job) -> Failed | UnderWay:
    """Let prepare look once more where a Job ended and its pod's report is lost; fail the run the second time."""
    end = _end(run, stage)
    if lacks_report(run.status, stage):
        return failure(run, end, ended=job.ended)
    run = without_report(run, stage, job, end.message)
    text = f"{end.message} {'Its adapter is looked for in S3.' if stage == 'train' else 'It is done again.'}"
    events = (Event("Warning", Reason.REPORT_MISSING, text),)
    return UnderWay(Phase.PENDING, Reason.PENDING, text, run.status, events=events)


def found_nothing(run: Run, job: Job) -> Failed | UnderWay:
    """Fail a run whose second look ended without an adapter."""
    if (wait := wait_for_report(run, job)) is not None:
        return run.unchanged(look_again=wait)
    end = _end(run, "train")
    said = job_failed(run, "prepare", job) if job.failure is not None else None
    why = f"Looking for its adapter failed: {said.message}" if said is not None else "S3 holds no adapter of it."
    return failure(run, End(end.reason, f"{end.message} {why}"), ended=job.ended)


def _end(run: Run, stage: RunStage) -> End:
    job = run.job(stage)
    if job is not None and job.failure is not None:
        text = f"The {stage} Job failed and its pods are gone: {job.failure.message or job.failure.reason}."
        return End(Reason.INTERNAL_ERROR, text)
    return End(Reason.REPORT_MISSING, f"The {stage} Job is complete, but the report of its pod is missing.")


def _is_explained(run: Run, job: Job) -> bool:
    """Return whether a pod of a finished Job reported how it ended, or its report is not needed any more."""
    pods = [pod for pod in run.observed.pods_of(job.name) if pod.created >= job.created]
    if job.stage == names.STAGE_CHECK:
        return any(pod.report is not None for pod in pods)
    stage: RunStage = "train" if job.name == run.job_names["train"] else "prepare"
    if _is_latched(run) or job.name != run.job_names[stage]:
        return True
    if stage == "prepare" and run.prepared and not lacks_report(run.status, "train"):
        return True
    if job.failure is not None and job.failure.reason == "DeadlineExceeded":
        return True
    if job.failure is not None:
        return all(pod.finished for pod in pods) and any(pod.exit_code or pod.phase == "Failed" for pod in pods)
    report = report_of(run, stage)
    return report is not None and (report.run_id is not None if stage == "prepare" else report.artifact is not None)


def _was_stopped(pod: Pod) -> bool:
    """Return whether somebody stopped the pod: why may stand on its Job alone, which may be seen later than its end."""
    if not pod.finished or pod.exit_code in (exit_codes.ExitCode.DONE, *exit_codes.FINAL):
        return False
    return pod.gone or pod.deleting


def _is_latched(run: Run) -> bool:
    return run.before.finished and not run.superseded
