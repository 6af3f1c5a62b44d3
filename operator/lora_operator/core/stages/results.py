"""The end of a stage: what its pod reported, or why there is no result."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from lora_contract import names
from lora_contract.changes import join_metrics, price_estimate, with_estimate
from lora_contract.counts import counted
from lora_contract.exit_codes import FINAL, NOT_COUNTED
from lora_contract.names import RunStage
from lora_contract.outside import shorten
from lora_contract.reasons import AGAIN, REASONS, Reason
from lora_contract.report import Report
from lora_contract.status import ArtifactStatus, ErrorStatus, ParentStatus, PlanStatus
from lora_operator.core.causes.pod_end import End, end_of
from lora_operator.core.observe.observed import Job
from lora_operator.core.record import usage
from lora_operator.core.record.attempts import circumstances, lacks_report
from lora_operator.core.record.progress import finished_progress
from lora_operator.core.run import limits
from lora_operator.core.run.outcome import Complete, Failed
from lora_operator.core.run.run import Run


def report_of(run: Run, stage: RunStage) -> Report | None:
    """Find the report of the pod that did the stage's work, or spoke for those that did.

    Pods of an earlier Job of the same name do not count.
    """
    job = run.job(stage)
    pods = [pod for pod in run.pods(stage) if job is None or pod.created >= job.created]
    reports = (pod.report for pod in reversed(pods) if pod.exit_code == 0 and pod.speaks)
    return next((report for report in reports if report is not None and report.stage == stage), None)


def record_prepared(run: Run) -> Run:
    """Latch in the run what prepare found: its Job is not needed any more."""
    job = run.job("prepare")
    if run.prepared or job is None or not job.complete:
        return run
    report = report_of(run, "prepare")
    if report is None or report.run_id is None or report.plan is None:
        return run
    run = _with_parent(run, report)
    run = run.with_status(run_id=report.run_id, plan=_priced(run, report.plan), warnings=list(report.warnings))
    return replace(run, status=usage.add_usage(run.status, "staging_seconds", job.completed or run.now))


def _priced(run: Run, plan: PlanStatus) -> PlanStatus:
    """Say what the expected GPU hours cost at the platform's price: the prepare pod does not know it."""
    price, estimate = run.settings.gpu_price, plan.estimate
    if price is None or estimate is None:
        return plan
    gpus = run.spec.compute.gpus * run.spec.compute.nodes
    cost = price.per_hour * gpus * estimate.seconds / 3600
    return with_estimate(plan, price_estimate(estimate, cost=f"{cost:.4f}", currency=price.currency))


def _with_parent(run: Run, report: Report) -> Run:
    """Latch what prepare found at spec.from.adapter; the adapter of a run is known from that run."""
    address = run.spec.parent.adapter if run.spec.parent is not None else None
    if address is None or report.parent is None or run.status.parent is not None:
        return run
    found = ParentStatus(uri=address.rstrip("/"), manifest_digest=report.parent.manifest_digest)
    return run.with_status(parent=found)


def check_adopted(run: Run) -> Complete | Failed | None:
    """Complete a run whose adapter existed already: prepare found it, and nothing is trained."""
    report = report_of(run, "prepare")
    job = run.job("prepare")
    if job is None or not job.complete or report is None or not report.adopted or report.artifact is None:
        return None
    run = _with_parent(run, report).with_status(
        run_id=report.run_id,
        plan=report.plan or run.status.plan,
        artifact=report.artifact,
        warnings=list(dict.fromkeys([*run.status.warnings, *report.warnings])),
    )
    if report.metrics is not None:
        run = run.with_status(metrics=report.metrics)
    return _gate_failed(run, report, job) or _adopted(run, report.artifact, job)


def _gate_failed(run: Run, report: Report, job: Job) -> Failed | None:
    if not report.gate_failed:
        return None
    text = f"The adapter is published but missed a limit of evaluation.gate: {report.gate_failed}"
    return failure(run, End(Reason.QUALITY_GATE_FAILED, text), ended=job.completed)


def _adopted(run: Run, artifact: ArtifactStatus, job: Job) -> Complete:
    if lacks_report(run.status, "train"):
        text = f"The adapter is published at {artifact.uri}; what the train pod reported of it was lost."
        return Complete(Reason.ADAPTER_PUBLISHED, text, run.status, job.completed)
    text = f"The same adapter was published before at {artifact.uri}; nothing was trained."
    return Complete(Reason.ADOPTED_EXISTING_ARTIFACT, text, run.status, job.completed)


def check_trained(run: Run, job: Job) -> Complete | Failed | None:
    """End a run whose train Job is complete by what its pod published; None: its pod did not say."""
    report = report_of(run, "train")
    if report is None or report.artifact is None:
        return None
    run = _with_report(run, report)
    if missed := _gate_failed(run, report, job):
        return missed
    if report.adopted:
        return _adopted(run, report.artifact, job)
    text = f"The adapter is published at {report.artifact.uri}"
    return Complete(Reason.ADAPTER_PUBLISHED, text, run.status, job.completed)


def job_failed(run: Run, stage: RunStage, job: Job) -> Failed | None:
    """Fail a run whose Job failed: by its last pod, or by the Job's own condition; None: no pod is known."""
    condition = job.failure
    reason = condition.reason if condition else ""
    if reason == "DeadlineExceeded":
        end = End(Reason.DEADLINE_EXCEEDED, "The Job ran longer than scheduling.maxExecutionSeconds.")
        if stage == "prepare":
            seconds = run.settings.prepare_deadline_seconds
            text = f"Model and data were not checked within {seconds} s, the platform's limit for a prepare Job."
            end = End(Reason.PREPARE_DEADLINE_EXCEEDED, text)
        return failure(run, end, ended=job.ended)
    last = _last_end(run, stage)
    if last is None:
        return None
    if reason == "BackoffLimitExceeded" and job.failed > 1:
        text = f"The {stage} pod failed {counted(job.failed, 'time')}; the last time {last.reason}: {last.message}"
        last = End(Reason.RETRIES_EXHAUSTED, text, last.exit_code, last.param, last.hint)
    reports = (pod.report for pod in reversed(run.pods(stage)) if pod.speaks and pod.report is not None)
    if stage == "train" and (report := next(reports, None)):
        run = _with_report(run, report)
    return failure(run, last, ended=job.ended)


def failure(run: Run, end: End, *, ended: datetime | None = None) -> Failed:
    """End the run as failed."""
    hint = end.hint or _hint_of_disk(run, end) or REASONS[end.reason].remedy or None
    message = shorten(end.message, limits.LONGEST_MESSAGE)
    error = ErrorStatus(code=str(end.reason), message=message, param=end.param, hint=hint)
    text = message if not hint else shorten(f"{message.rstrip('.')}. {hint}", limits.LONGEST_MESSAGE)
    return Failed(end.reason, text, error, run.status, ended)


def _hint_of_disk(run: Run, end: End) -> str | None:
    """Advise what to do about a limit of ephemeral-storage that the pod has though none of ours was set."""
    train = run.stage == names.STAGE_TRAIN
    ours = run.settings.train_ephemeral_storage if train else run.settings.prepare_ephemeral_storage
    if end.reason is not Reason.EPHEMERAL_STORAGE_EXCEEDED or "EmptyDir" in end.message or ours is not None:
        return None
    value = "trainer.ephemeralStorage" if train else "trainer.prepare.ephemeralStorage"
    return (
        "A LimitRange of the namespace gives the pod this limit of ephemeral-storage. Ask the platform team to raise"
        f" it, or to set {value} of the chart, which comes with a limit that fits; {AGAIN}"
    )


def _last_end(run: Run, stage: RunStage) -> End | None:
    """Conclude how the last pod that failed ended: from the pod, else from its attempt.

    Of several pods that ended together it is the one whose error ended the Job; the others were only stopped.
    """
    failed = [p for p in reversed(run.pods(stage)) if p.exit_code not in (None, 0) or p.phase == "Failed"]
    ended_the_job = [pod for pod in failed if pod.exit_code in FINAL]
    by_itself = [pod for pod in failed if pod.exit_code not in NOT_COUNTED and not pod.deleting]
    for pod in (*ended_the_job, *by_itself, *failed):
        return end_of(pod, circumstances(run, stage))
    job, seen = run.job_names[stage], {pod.name for pod in run.pods(stage)}
    for attempt in reversed(run.status.attempts):
        if attempt.reason == Reason.POD_DELETED and attempt.pod not in seen:
            continue  # concluded from the pod's absence, which does not say why the Job failed
        if attempt.job == job and attempt.reason not in (None, Reason.SUCCEEDED):
            return End(_reason(attempt.reason), attempt.message or "", attempt.exit_code)
    return None


def _reason(text: str | None) -> Reason:
    try:
        return Reason(text or "")
    except ValueError:
        return Reason.INTERNAL_ERROR


def _with_report(run: Run, report: Report) -> Run:
    if report.artifact is not None:
        run = run.with_status(artifact=report.artifact)
    if report.metrics is not None:
        run = run.with_status(metrics=join_metrics(run.status.metrics, report.metrics))
    if report.warnings:
        run = run.with_status(warnings=list(dict.fromkeys([*run.status.warnings, *report.warnings])))
    if report.timing is not None and run.status.plan is not None:
        step, total = report.timing.last_step, run.status.plan.total_steps
        run = run.with_status(progress=finished_progress(run.status.progress, step=step, total=total))
    return run
