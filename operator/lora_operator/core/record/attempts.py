"""From pods to `status.attempts` and `status.usage`.

An attempt is written when its pod starts and once more when it ends; an ended attempt never changes again, so
what it adds to the usage is added once.
"""

from __future__ import annotations

from dataclasses import replace

from lora_contract import exit_codes
from lora_contract.changes import change_attempt
from lora_contract.names import RunStage
from lora_contract.progress import METRIC_FROM_STEP, METRIC_STEP
from lora_contract.reasons import Reason, facts_of
from lora_contract.report import Timing
from lora_contract.status import MAX_ATTEMPTS, AttemptStatus, LoRAFineTuneStatus
from lora_contract.times import format_time, parse_time
from lora_operator.core.causes.pod_end import Circumstances, End, end_of, node_lost, vanished
from lora_operator.core.observe.observed import Job
from lora_operator.core.observe.pod import Pod
from lora_operator.core.observe.sight import Fact, Sight
from lora_operator.core.queues import queue_of
from lora_operator.core.record import usage
from lora_operator.core.run import limits
from lora_operator.core.run.run import Run

#: The Job ends with the pod, so both are written at once.
_ENDS_THE_JOB = (exit_codes.ExitCode.DONE, *exit_codes.FINAL)

_NO_FAILURES = (exit_codes.ExitCode.DONE, *exit_codes.NOT_COUNTED)


def record_attempts(run: Run) -> Run:
    """Record in the run what its pods did."""
    for stage in ("prepare", "train"):
        run = _close_vanished(_record_stage(run, stage), stage)
    return run


def awaits_its_job(run: Run, pod: Pod, job: Job | None) -> bool:
    """Return whether a pod's end will end its Job in a moment."""
    if job is None or job.finished or not pod.finished or pod.exit_code not in _ENDS_THE_JOB:
        return False
    return run.seen_for(Fact(Sight.POD_ENDED, pod.uid)) < limits.JOB_GRACE


def counted_failures(status: LoRAFineTuneStatus) -> int:
    """Count the train pods that ended in a way that counts against spec.retries."""
    return sum(1 for a in status.attempts if a.stage == "train" and a.end_time and facts_of(a.reason).counts_as_retry)


def internal_errors(status: LoRAFineTuneStatus) -> tuple[AttemptStatus, ...]:
    """List the attempts of one pod index that ended with exit code 70, oldest first; of the index that has most.

    Pods that train together may all meet one defect: that is one time.
    """
    by_index: dict[str, list[AttemptStatus]] = {}
    for attempt in status.attempts:
        if attempt.stage == "train" and attempt.exit_code == exit_codes.ExitCode.INTERNAL:
            index = (attempt.pod or "").removeprefix(f"{attempt.job}-").partition("-")[0]
            by_index.setdefault(index if index.isdecimal() else "0", []).append(attempt)
    most = sorted(by_index.values(), key=len)[-1:]
    return tuple(most[0]) if most else ()


def without_report(run: Run, stage: RunStage, job: Job, message: str) -> Run:
    """Write down that a report is lost: on the pod's attempt, else on one that stands for the pod."""
    mine = [attempt for attempt in run.status.attempts if attempt.job == job.name]
    if mine:
        attempts = [
            change_attempt(a, reason=Reason.REPORT_MISSING, message=message) if a is mine[-1] else a
            for a in run.status.attempts
        ]
        return run.with_status(attempts=attempts)
    start = job.started or job.created
    attempt = AttemptStatus(job=job.name, stage=stage, start_time=format_time(start))
    attempt = _ended(attempt, End(Reason.REPORT_MISSING, message), format_time(job.ended or run.now))
    run = _with_attempt(run, attempt)
    return _with_usage(run, attempt, None, first_seen=True) if stage == "train" else run


def lacks_report(status: LoRAFineTuneStatus, stage: RunStage) -> bool:
    """Return whether a stage's report was found lost: its one second look has begun."""
    return any(a.stage == stage and a.reason == Reason.REPORT_MISSING for a in status.attempts)


def nodes_to_avoid(status: LoRAFineTuneStatus) -> tuple[str, ...]:
    """List the nodes that failed under a pod of this run."""
    return tuple(sorted({a.node for a in status.attempts if a.node and facts_of(a.reason).moves_to_other_node}))


def moved(status: LoRAFineTuneStatus) -> AttemptStatus | None:
    """Find the attempt for whose end the Job is made anew, if the newest ended so."""
    newest = status.attempts[-1] if status.attempts else None
    return newest if newest is not None and facts_of(newest.reason).moves_to_other_node else None


def circumstances(run: Run, stage: RunStage) -> Circumstances:
    """Gather what goes on around the pods of a stage."""
    job = run.job(stage)
    return Circumstances(
        suspended=_suspended(run, job),
        preempted=None if job is None else queue_of(job, run.observed.workloads).preempted_by(run, job),
        job_gone=job is None or job.deleting,
        moved=cause.message if (cause := moved(run.status)) is not None else None,
    )


def _suspended(run: Run, job: Job | None) -> bool:
    """Return whether the run is suspended, or was until its pod ended: it may have been let go on meanwhile."""
    spec = run.finetune.spec
    by_us = job is not None and queue_of(job, run.observed.workloads).is_paused(run, job)
    return (spec is not None and spec.suspend) or run.was_held or by_us


def _record_stage(run: Run, stage: RunStage) -> Run:
    job = run.job(stage)
    for pod in run.pods(stage):
        known = _attempt_of(run.status, pod.name)
        if known is not None and known.end_time is not None:
            continue
        if awaits_its_job(run, pod, job) or not _is_attempt(run, pod, stage, known) or _forgotten(run, pod):
            continue
        attempt = _attempt(run, stage, pod)
        if attempt.end_time is None and known is not None:
            continue
        run = _with_attempt(run, attempt)
        if stage == "train" and pod.speaks:
            run = _with_usage(run, attempt, pod, first_seen=known is None)
    return run


def _is_attempt(run: Run, pod: Pod, stage: RunStage, known: AttemptStatus | None) -> bool:
    """Return whether a pod is an attempt: a train pod that started, or a prepare pod that failed; less to write so.

    Of a run on several nodes the first pod stands for all; another one is recorded when it failed by itself, or was
    lost with its node.
    """
    if stage == "prepare":
        return pod.exit_code not in (None, exit_codes.ExitCode.DONE) or pod.phase == "Failed"
    if not pod.speaks:
        failed = pod.exit_code not in _NO_FAILURES if pod.exit_code is not None else pod.phase == "Failed"
        return failed or run.abandoned(pod)
    return pod.started is not None or known is not None or pod.phase == "Failed"


def _forgotten(run: Run, pod: Pod) -> bool:
    """Return whether a pod's attempt had to make room for newer ones: it must not come back as the newest."""
    attempts = run.status.attempts
    if len(attempts) < MAX_ATTEMPTS or pod.ended is None or _attempt_of(run.status, pod.name) is not None:
        return False
    oldest = next((parse_time(attempt.end_time) for attempt in attempts if attempt.end_time), None)
    return oldest is not None and pod.ended <= oldest


def _attempt(run: Run, stage: RunStage, pod: Pod) -> AttemptStatus:
    start = format_time(pod.started) if pod.started else None
    first, last = _steps(run, pod)
    attempt = AttemptStatus(
        pod=pod.name,
        job=pod.job_name,
        job_uid=pod.job_uid or None,
        stage=stage,
        node=pod.node,
        start_time=start,
        from_step=first,
        last_step=last,
    )
    if run.abandoned(pod):
        return _ended(attempt, node_lost(pod), format_time(run.now))
    if not pod.finished:
        return change_attempt(attempt, last_step=None)
    return _ended(attempt, end_of(pod, circumstances(run, stage)), format_time(pod.ended or run.now))


def _ended(attempt: AttemptStatus, end: End, moment: str) -> AttemptStatus:
    return change_attempt(
        attempt,
        end_time=moment,
        reason=str(end.reason),
        message=end.message or None,
        exit_code=end.exit_code,
    )


def _steps(run: Run, pod: Pod) -> tuple[int | None, int | None]:
    """Return first and last step of a pod: by its report, else by its progress."""
    if timing := _timing(pod):
        return timing.from_step, timing.last_step
    progress = run.observed.progress
    if progress is None or progress.pod != pod.name:
        return None, None
    return progress.status.count(METRIC_FROM_STEP), progress.status.count(METRIC_STEP)


def _timing(pod: Pod) -> Timing | None:
    return pod.report.timing if pod.report else None


def _attempt_of(status: LoRAFineTuneStatus, pod: str) -> AttemptStatus | None:
    return next((attempt for attempt in status.attempts if attempt.pod == pod), None)


def _with_attempt(run: Run, attempt: AttemptStatus) -> Run:
    """Put an attempt in its place, or behind the others; the newest are kept, and those that are not over."""
    attempts = [attempt if known.pod == attempt.pod else known for known in run.status.attempts]
    if attempt not in attempts:
        attempts.append(attempt)
    if len(attempts) > MAX_ATTEMPTS:
        attempts.remove(next((each for each in attempts if each.end_time), attempts[0]))
    return run.with_status(attempts=attempts)


def _with_usage(run: Run, attempt: AttemptStatus, pod: Pod | None, *, first_seen: bool) -> Run:
    """Add the wait before an attempt, once it started, and its own time, once it ended."""
    status = run.status
    if first_seen and attempt.start_time:
        # The attempt itself is still running in the status: its own time is not booked as a wait.
        status = usage.add_usage(status, "queue_seconds", parse_time(attempt.start_time))
    if attempt.end_time is not None:
        compute = run.finetune.spec.compute if run.finetune.spec else None
        gpus = compute.gpus * compute.nodes if compute else 0
        status = usage.with_attempt(
            status, attempt, gpus=gpus, timing=_timing(pod) if pod else None, price=run.settings.gpu_price
        )
    return replace(run, status=status)


def _close_vanished(run: Run, stage: RunStage) -> Run:
    """End the attempts whose pods are gone without a trace, for instance while the operator was away."""
    seen = {pod.name for pod in run.observed.pods}
    for attempt in run.status.attempts:
        if attempt.end_time is None and attempt.stage == stage and attempt.pod not in seen:
            job = run.job(stage)
            around = circumstances(run, stage)
            if job is not None and attempt.job_uid not in (None, job.uid):  # the Job of this pod was deleted
                end = vanished(replace(around, preempted=None, job_gone=True))
            elif job is not None and job.complete:
                end = End(Reason.SUCCEEDED, "")
            else:
                end = vanished(around)
            closed = _ended(attempt, end, format_time((job.ended if job is not None else None) or run.now))
            progress = run.status.progress
            if closed.last_step is None and progress is not None:
                closed = change_attempt(closed, last_step=progress.step)
            run = _with_attempt(run, closed)
            if stage == "train":
                run = _with_usage(run, closed, None, first_seen=False)
    return run
