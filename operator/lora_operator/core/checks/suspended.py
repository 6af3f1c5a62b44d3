"""A run that spec.suspend holds: its pods are stopped, and the time of the pause is booked apart."""

from __future__ import annotations

from dataclasses import replace

from lora_contract.reasons import Reason
from lora_contract.status import Phase
from lora_operator.core.observe.observed import Job
from lora_operator.core.observe.pod import Pod
from lora_operator.core.queues import queue_of
from lora_operator.core.record import usage
from lora_operator.core.record.spending import limit_reached
from lora_operator.core.run.decision import Action
from lora_operator.core.run.outcome import Suspended, UnderWay
from lora_operator.core.run.run import UNDER_WAY, Run


def record_pause(run: Run) -> Run:
    """Book the time up to the beginning or end of a pause where it belongs."""
    # Runs that wait for each other are held too, by their refusal.
    pauses = _pauses(run) or (run.observed.parents_in_circle and run.status.parent is None)
    if pauses == run.was_held:
        return run
    account = usage.account_of_waits(run) if pauses else "suspended_seconds"
    return replace(run, status=usage.add_usage(run.status, account, run.now))


def _pauses(run: Run) -> bool:
    """Return whether the run is held, or goes on only when its pod has ended; an end that was already reached stands.

    A Job is let go on only after its pods ended. Else what stopped them could not be seen: they end as those of a Job
    that runs.
    """
    job = run.job(run.stage)
    if job is not None and job.finished:
        return False
    if run.spec.suspend or limit_reached(run) is not None:
        return True
    return job is not None and queue_of(job, run.observed.workloads).is_paused(run, job) and bool(_unfinished(run))


def _unfinished(run: Run) -> list[Pod]:
    return [pod for pod in run.present_pods(run.stage) if not pod.finished and not run.abandoned(pod)]


def check_suspended(run: Run) -> Suspended | UnderWay | None:
    """Suspend a run: its pods are stopped after a checkpoint. What they hold is free when they have ended."""
    if not _pauses(run):
        return None
    job = run.job(run.stage)
    # The status first: it says why the pods end, however soon the run is let go on.
    follow_up = pause(run, job) if job is not None and run.spec.suspend else ()
    if pods := _unfinished(run):
        return _stopping(run, pods, follow_up)
    text = "Suspended. Set spec.suspend: false to go on from the last checkpoint."
    return Suspended(text, run.status, follow_up=follow_up)


def _stopping(run: Run, pods: list[Pod], follow_up: tuple[Action, ...]) -> UnderWay:
    text = "The prepare pod is being stopped."
    if run.prepared:
        text = "The train pod saves a checkpoint; its GPU is free when it has ended."
    if not run.spec.suspend:
        text = f"{text} Then the run goes on."
    phase = run.before.phase if run.before.phase in UNDER_WAY and not run.superseded else Phase.PENDING
    silent = [run.until_abandoned(pod) for pod in pods if pod.unreachable and pod.deleting]
    look_again = min(silent, default=None)
    return UnderWay(phase, Reason.SUSPENDING, text, run.status, follow_up=follow_up, look_again=look_again)


def pause(run: Run, job: Job) -> tuple[Action, ...]:
    """Stop the pods of a Job; no actions where it has ended or is deleted."""
    return () if job.deleting or job.finished else queue_of(job, run.observed.workloads).pause(run, job)
