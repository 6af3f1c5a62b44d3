"""Checks that come before the stages: is there anything to do at all?"""

from __future__ import annotations

from dataclasses import replace

from lora_contract import names
from lora_contract.reasons import Reason
from lora_contract.report import shorten
from lora_contract.status import ConditionType, Phase
from lora_operator.core import usage
from lora_operator.core.decision import Action, DeleteJob, SetWorkloadActive, SuspendJob
from lora_operator.core.inputs import check_inputs
from lora_operator.core.observed import Job
from lora_operator.core.pod import parse_time
from lora_operator.core.run import Kind, Outcome, Run

_MAX_MESSAGE = 1000


def finished(run: Run) -> Outcome | None:
    """The latch: a finished run stays finished, whatever became of its Jobs or of status.phase."""
    if run.superseded or not run.status.finished:
        return None
    failed = run.status.condition(ConditionType.FAILED)
    phase = Phase.FAILED if failed is not None and failed.status == "True" else Phase.COMPLETE
    check = check_inputs(run)
    actions, look_again = _clean_up(check.run, needed=check.job)
    return Outcome(
        Kind.LATCHED,
        phase,
        Reason.PENDING,
        "",
        check.run.status,
        actions=(*actions, *check.actions),
        events=check.events,
        look_again=min((each for each in (look_again, check.look_again) if each is not None), default=None),
    )


def _clean_up(run: Run, *, needed: str | None) -> tuple[tuple[Action, ...], float | None]:
    """Delete what still runs at once, the rest after spec.ttlSecondsAfterFinished.

    That may be days and must not begin anew with each start of the operator: it is counted on the API server's clock.
    """
    spec = run.finetune.spec
    ended = parse_time(run.status.completion_time) or run.now
    left = 0.0 if spec is None else spec.ttl_seconds_after_finished - (run.now - ended).total_seconds()
    jobs = [job for job in run.observed.jobs if not job.deleting and job.name != needed]
    due = [job for job in jobs if not job.finished or (spec is not None and left <= 0)]
    waiting = spec is not None and left > 0 and len(due) < len(jobs)
    return tuple(DeleteJob(job.name) for job in due), left if waiting else None


def refused(run: Run) -> Outcome | None:
    """The spec cannot be run as it stands. A change of the spec, or of the platform's settings, ends this."""
    finetune, settings = run.finetune, run.settings
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
    last_pod = f"{run.job_names['train']}-{finetune.spec.compute.nodes - 1}"
    if (excess := len(last_pod) - names.MAX_LABEL_LENGTH) > 0:
        text = (
            f"metadata.name: {finetune.name} is too long for the names of {finetune.spec.compute.nodes} pods."
            f" Use at most {len(finetune.name) - excess} characters."
        )
        return _refusal(run, Reason.SPEC_INVALID, text)
    return None


def _refusal(run: Run, reason: Reason, message: str) -> Outcome:
    text = shorten(message, _MAX_MESSAGE)
    return Outcome(Kind.REFUSED, Phase.FAILED, reason, text, run.status)


def learn_pause(run: Run) -> Run:
    """The run with the time up to the beginning or end of a pause booked where it belongs."""
    pauses = _pauses(run)
    if pauses == run.was_suspended:
        return run
    account: usage.Account = "suspended_seconds"
    if pauses:
        account = "queue_seconds" if run.prepared else "staging_seconds"
    return replace(run, status=usage.booked(run.status, account, run.now))


def _pauses(run: Run) -> bool:
    """Whether spec.suspend holds the run; an end that was already reached stands."""
    job = run.job(run.stage)
    return run.spec.suspend and not (job is not None and job.finished)


def suspended(run: Run) -> Outcome | None:
    """spec.suspend: pods are stopped after a checkpoint."""
    if not _pauses(run):
        return None
    job = run.job(run.stage)
    actions = () if job is None or job.deleting else _pause(run, job)
    text = "Suspended. Set spec.suspend: false to go on from the last checkpoint."
    return Outcome(Kind.SUSPENDED, Phase.SUSPENDED, Reason.SUSPENDED, text, run.status, actions=actions)


def _pause(run: Run, job: Job) -> tuple[Action, ...]:
    """A Job in a queue belongs to Kueue: its Workload is switched off, never the Job itself."""
    if not run.observed.queued(job):
        return () if job.suspended else (SuspendJob(job.name, suspend=True),)
    workload = run.observed.workload_of(job)
    if workload is None or not workload.active:
        return ()
    return (SetWorkloadActive(workload.name, active=False),)


def stale_jobs(run: Run) -> tuple[Action, ...]:
    """Deletions of Jobs that an earlier run of this resource left."""
    current = set(run.job_names.values())
    return tuple(DeleteJob(job.name) for job in run.observed.jobs if job.name not in current and not job.deleting)
