"""Identical runs of a namespace train once: the second waits in no queue, then looks for what the first published.

In S3 the claims of the train pods decide, also across namespaces and clusters; here the operator spares the second pod
its GPU. It has an identity from the word of a run's own pods, so it compares runs of one namespace only, whose users
can stop each other's runs anyhow: with the identity of a run of another namespace, a forged report could hold it up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.reasons import Reason
from lora_contract.status import LoRAFineTuneStatus, Phase
from lora_contract.times import format_time
from lora_operator.core.observe.observed import FineTune, IdenticalRun, Identity, Job, Workload
from lora_operator.core.queues import queue_of
from lora_operator.core.record import usage
from lora_operator.core.run import limits
from lora_operator.core.run.decision import DeleteJob
from lora_operator.core.run.outcome import UnderWay
from lora_operator.core.run.run import Run


def identity_of(namespace: str, spec: LoRAFineTuneSpec, run_id: str, default_endpoint: str) -> Identity:
    """Return the identity of a run: runs of two outputs share nothing."""
    return Identity(namespace, run_id, spec.output.uri, spec.storage.endpoint or default_endpoint)


def identical_run(
    run: FineTune,
    run_id: str | None,
    jobs: Sequence[Job],
    workloads: Sequence[Workload],
    *,
    default_endpoint: str,
    starting: bool,
    refused: bool,
) -> IdenticalRun | None:
    """Reduce a run to what identical ones need to know; None: it is not under way. `starting`: its Job is made now."""
    spec, status = run.spec, run.status
    if run_id is None or spec is None or spec.suspend or run.deleting:
        return None
    if status.finished or status.phase is Phase.FAILED:
        return None
    train = [
        job
        for job in jobs
        if job.stage == names.STAGE_TRAIN and not job.finished and not queue_of(job, workloads).is_held(job, workloads)
    ]
    between_pods = any(attempt.stage == names.STAGE_TRAIN for attempt in status.attempts) and any(
        not job.suspended for job in train
    )
    return IdenticalRun(
        identity=identity_of(run.namespace, spec, run_id, default_endpoint),
        name=run.name,
        uid=run.uid,
        created=run.created,
        queue=spec.scheduling.queue_name,
        started=bool(train) or starting,
        running=status.phase in (Phase.RUNNING, Phase.PUBLISHING) or between_pods,
        refused=refused,
    )


def wait_for_identical(run: Run, job: Job | None) -> UnderWay | None:
    """Wait while an identical run trains; None: nobody is before it, or the run's own Job is under way."""
    if _prepares_anew(run):
        return _without_jobs(run, run.unchanged().message)
    waited = identical_run_trains(run.before) and not run.superseded
    held_by_us, workloads = run.was_held or waited, run.observed.workloads
    if job is not None and not (held_by_us and queue_of(job, workloads).is_held(job, workloads)):
        return None
    leader = _leader(run)
    if leader is not None and run.now < (end := _end_of_wait(run)):
        does = "trains" if leader.running else "is to train"
        text = (
            f"Run {leader.name} {does} the same adapter; this run waits for it without a GPU,"
            f" until {format_time(end)} at the latest, and adopts it."
        )
        again = min(limits.IDENTICAL_INTERVAL, (end - run.now).total_seconds())
        return UnderWay(Phase.QUEUED, Reason.IDENTICAL_RUN_TRAINING, text, run.status, look_again=again)
    return _prepares_again(run, leader) if waited else None


def identical_run_trains(status: LoRAFineTuneStatus) -> bool:
    """Return whether a status says that its run waits for an identical one."""
    return _ready_reason(status) == Reason.IDENTICAL_RUN_TRAINING


def _ready_reason(status: LoRAFineTuneStatus) -> str:
    ready = status.condition(ConditionType.READY)
    return "" if ready is None else ready.reason


def _leader(run: Run) -> IdenticalRun | None:
    """Find the identical run that goes before this one.

    Of the same queue the one that started, else the older. Any other only while its pod runs: nobody waits for the
    queue of another.
    """
    mine = (run.finetune.created, run.finetune.uid)
    default = run.settings.default_s3_endpoint
    identity = identity_of(run.finetune.namespace, run.spec, run.status.run_id or "", default)

    def goes_before(other: IdenticalRun) -> bool:
        if other.queue != run.spec.scheduling.queue_name:
            return other.running
        return other.started or (not other.refused and (other.created, other.uid) < mine)

    before = [other for other in run.observed.identical if other.identity == identity and goes_before(other)]
    return min(before, key=lambda other: (not other.started, other.created, other.uid), default=None)


def _end_of_wait(run: Run) -> datetime:
    """Compute when the run waits no longer. Earlier waits count too, so a chain of identical runs ends as well."""
    since = usage.counted_until(run.status) or run.now
    before = run.status.usage.queue_seconds if run.status.usage else 0
    return since + timedelta(seconds=limits.IDENTICAL_WAIT - before)


def _prepares_again(run: Run, leader: IdenticalRun | None) -> UnderWay:
    """Let prepare look for the adapter of the other run, which ended or took too long, with this user's own rights.

    Prepare waits as well while S3 says that another trains; where it says nothing, this run trains.
    """
    text = "The identical run ended; its adapter is looked for."
    if leader is not None:
        hours = limits.IDENTICAL_WAIT / 3600
        text = f"Run {leader.name} did not publish within {hours:.0f} hours; S3 is asked once more who trains."
    return _without_jobs(replace(run, status=usage.add_usage(run.status, "queue_seconds", run.now)), text)


def _without_jobs(run: Run, text: str) -> UnderWay:
    """Delete the Jobs once the status says why; what the prepare Job reported is no answer to the new question.

    Once they are gone the status forgets what prepare found, before the new Job is made: a Job that is there already
    while the status still tells of the old one would be deleted with it.
    """
    jobs = [job for job in (run.job("prepare"), run.job("train")) if job is not None]
    if not jobs:
        run = run.with_status(run_id=None, plan=None)
        return UnderWay(Phase.PENDING, Reason.IDENTICAL_RUN_ENDED, text, run.status, look_again=0.0)
    deletions = tuple(DeleteJob(job.name) for job in jobs if not job.deleting)
    return UnderWay(Phase.PENDING, Reason.IDENTICAL_RUN_ENDED, text, run.status, follow_up=deletions)


def _prepares_anew(run: Run) -> bool:
    """Return whether the status says that prepare is done once more, and still holds what it found before."""
    return _ready_reason(run.before) == Reason.IDENTICAL_RUN_ENDED and run.prepared and not run.superseded
