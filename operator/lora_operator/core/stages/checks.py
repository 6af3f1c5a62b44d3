"""Checks that come before the stages: is there anything to do at all?"""

from __future__ import annotations

from dataclasses import replace

from lora_contract import names
from lora_contract.outside import shorten
from lora_contract.reasons import Reason
from lora_contract.status import ConditionType, ErrorStatus, Phase
from lora_operator.core.observe.observed import Job
from lora_operator.core.observe.pod import Pod
from lora_operator.core.queues import queue_of
from lora_operator.core.record import usage
from lora_operator.core.run.decision import Action, DeleteJob
from lora_operator.core.run.outcome import Latched, Refused, Suspended, UnderWay
from lora_operator.core.run.run import UNDER_WAY, Run
from lora_operator.core.stages.input_check import check_inputs
from lora_operator.core.status.conclude import clean_up

_MAX_MESSAGE = 1000
_CORRECT = (
    "Correct it: the run then goes on by itself. What cannot be changed any more: delete the run and apply it again."
)


def check_finished(run: Run) -> Latched | None:
    """Latch a finished run: it stays finished, whatever became of its Jobs or of status.phase."""
    if run.superseded or not run.status.finished:
        return None
    failed = run.status.condition(ConditionType.FAILED)
    phase = Phase.FAILED if failed is not None and failed.status == "True" else Phase.COMPLETE
    check = check_inputs(run)
    actions, look_again = clean_up(check.run, check.run.status, needed=check.job)
    return Latched(
        phase,
        check.run.status,
        actions=(*actions, *check.actions),
        events=check.events,
        look_again=min((each for each in (look_again, check.look_again) if each is not None), default=None),
    )


def check_refused(run: Run) -> Refused | None:
    """Refuse a spec that cannot be run as it stands, until the spec or the platform's settings change.

    A rule binds only specs that are new to the operator: one that was accepted goes on by the rules of its day, until
    somebody edits it. A run whose spec was edited into one that cannot be run is paused: it holds no GPU until the spec
    is corrected, and goes on from its checkpoint then.
    """
    finetune, settings = run.finetune, run.settings
    if len(finetune.name) > names.MAX_NAME_LENGTH and not run.observed.jobs:
        # Also where it was accepted, when longer names were: the API server makes no Job for it.
        text = (
            f"metadata.name: {finetune.name} is too long for the hostnames of its pods, which the API server makes of"
            f" it. Create the run anew with a name of at most {names.MAX_NAME_LENGTH} characters."
        )
        return _refusal(run, Reason.SPEC_INVALID, text)
    if run.accepted:
        return None
    if finetune.spec is None:
        return _refusal(run, Reason.SPEC_INVALID, "; ".join(finetune.spec_errors))
    endpoint = finetune.spec.storage.endpoint
    allowed = {item.rstrip("/") for item in (settings.default_s3_endpoint, *settings.allowed_s3_endpoints) if item}
    if endpoint is not None and endpoint.rstrip("/") not in allowed:
        text = (
            f"spec.storage.endpoint: {endpoint} is not an endpoint that this platform allows"
            f" ({', '.join(sorted(allowed)) or 'none is'}). Use one of these, or leave the field out."
        )
        return _refusal(run, Reason.ENDPOINT_NOT_ALLOWED, text)
    return None


def _refusal(run: Run, reason: Reason, message: str) -> Refused:
    job = run.job(run.stage)
    follow_up = _pause(run, job) if job is not None else ()
    if job is not None and not job.finished:
        message = f"{message} The run is paused until then."
    text = shorten(message, _MAX_MESSAGE)
    error = ErrorStatus(code=reason, message=text, param=message.partition(":")[0], hint=_CORRECT)
    return Refused(reason, text, error, run.status, follow_up=follow_up)


def record_pause(run: Run) -> Run:
    """Book the time up to the beginning or end of a pause where it belongs."""
    pauses = _pauses(run)
    if pauses == run.was_held:
        return run
    account: usage.Account = "suspended_seconds"
    if pauses:
        account = "queue_seconds" if run.prepared else "staging_seconds"
    return replace(run, status=usage.add_usage(run.status, account, run.now))


def _pauses(run: Run) -> bool:
    """Return whether the run is held, or goes on only when its pod has ended; an end that was already reached stands.

    A Job is let go on only after its pods ended. Else what stopped them could not be told: they end as those of a Job
    that runs.
    """
    job = run.job(run.stage)
    if job is not None and job.finished:
        return False
    return run.spec.suspend or (
        job is not None and queue_of(job, run.observed.workloads).is_paused(run, job) and bool(_unfinished(run))
    )


def _unfinished(run: Run) -> list[Pod]:
    return [pod for pod in run.present_pods(run.stage) if not pod.finished and not run.abandoned(pod)]


def check_suspended(run: Run) -> Suspended | UnderWay | None:
    """Suspend a run: its pods are stopped after a checkpoint. What they hold is free when they have ended."""
    if not _pauses(run):
        return None
    job = run.job(run.stage)
    # The status first: it says why the pods end, however soon the run is let go on.
    follow_up = _pause(run, job) if job is not None and run.spec.suspend else ()
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


def _pause(run: Run, job: Job) -> tuple[Action, ...]:
    return () if job.deleting or job.finished else queue_of(job, run.observed.workloads).pause(run, job)


def stale_jobs(run: Run) -> tuple[Action, ...]:
    """Delete the Jobs that an earlier run of this resource left."""
    current = set(run.job_names.values())
    return tuple(DeleteJob(job.name) for job in run.observed.jobs if job.name not in current and not job.deleting)
