"""Identical runs train once: the second waits outside the queue, then looks for what the first published.

In S3 the claims of the train pods decide, also across clusters; here the operator spares the second pod its GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lora_contract import names
from lora_contract.reasons import Reason
from lora_contract.status import ConditionType, LoRAFineTuneStatus, Phase
from lora_operator.core import limits, usage
from lora_operator.core.decision import DeleteJob
from lora_operator.core.observed import FineTune, Job, Twin, Workload
from lora_operator.core.run import Outcome, Run


def twin_of(
    run_id: str,
    run: FineTune,
    jobs: Sequence[Job],
    workloads: Sequence[Workload],
    *,
    starting: bool,
    refused: bool,
) -> Twin | None:
    """What identical runs need to know of a run; None where it is not under way. `starting`: its Job is being made."""
    spec, status = run.spec, run.status
    if spec is None or spec.suspend or run.deleting or status.finished or status.phase is Phase.FAILED:
        return None
    train = [job for job in jobs if job.stage == names.STAGE_TRAIN and not job.finished and not is_held(job, workloads)]
    between_pods = any(attempt.stage == names.STAGE_TRAIN for attempt in status.attempts) and any(
        not job.suspended for job in train
    )
    return Twin(
        run_id=run_id,
        namespace=run.namespace,
        name=run.name,
        uid=run.uid,
        created=run.created,
        output=spec.output.uri,
        endpoint=spec.storage.endpoint,
        queue=spec.scheduling.queue_name,
        started=bool(train) or starting,
        running=status.phase in (Phase.RUNNING, Phase.PUBLISHING) or between_pods,
        refused=refused,
    )


def is_held(job: Job, workloads: Sequence[Workload]) -> bool:
    """Whether a train Job waits for us, not for Kueue: spec.suspend held it, and nobody let it go on yet."""
    mine = [workload for workload in workloads if workload.job_uid == job.uid]
    if mine:
        return not any(workload.active for workload in mine)
    return job.suspended and job.queue is None


def waits(run: Run, job: Job | None) -> Outcome | None:
    """An identical run trains, or did until now; None: the way is free, or the run's own Job is under way."""
    held_by_us = run.was_suspended or identical_run_trains(run.before)
    if job is not None and not (held_by_us and is_held(job, run.observed.workloads)):
        return None
    if (first := _first(run)) is not None:
        who = f"Run {first.name}" if first.namespace == run.finetune.namespace else "Another run of this cluster"
        does = "trains" if first.running else "is to train"
        text = f"{who} {does} the same adapter; this run waits without a GPU and adopts it."
        return run.active(Phase.QUEUED, Reason.IDENTICAL_RUN_TRAINING, text, look_again=limits.TWIN_INTERVAL)
    waited = identical_run_trains(run.before) and not run.superseded
    return _prepares_again(run) if waited else None


def identical_run_trains(status: LoRAFineTuneStatus) -> bool:
    """Whether a status says that its run waits for an identical one."""
    ready = status.condition(ConditionType.READY)
    return ready is not None and ready.reason == Reason.IDENTICAL_RUN_TRAINING


def _first(run: Run) -> Twin | None:
    """The identical run that goes before this one.

    Of the same namespace and queue the one that started, else the older. Any other only while its pod runs: nobody
    waits for the queue of another.
    """
    mine = (run.finetune.created, run.finetune.uid)
    line = (run.finetune.namespace, run.spec.scheduling.queue_name)

    def goes_before(twin: Twin) -> bool:
        if (twin.namespace, twin.queue) != line:
            return twin.running
        return twin.started or (not twin.refused and (twin.created, twin.uid) < mine)

    same = (twin for twin in run.observed.twins if twin.run_id == run.status.run_id and _same_output(run, twin))
    before = [twin for twin in same if goes_before(twin)]
    return min(before, key=lambda twin: (not twin.started, twin.created, twin.uid), default=None)


def _same_output(run: Run, twin: Twin) -> bool:
    spec, default = run.spec, run.settings.default_s3_endpoint
    mine = (spec.output.uri, spec.storage.endpoint or default)
    return mine == (twin.output, twin.endpoint or default)


def _prepares_again(run: Run) -> Outcome:
    """The other run ended, well or not: prepare looks for its adapter, with this user's own rights."""
    jobs = [job for job in (run.job("prepare"), run.job("train")) if job is not None]
    run = replace(run, status=usage.booked(run.status, "queue_seconds", run.now)).learned(run_id=None, plan=None)
    text = "The identical run ended; its adapter is looked for."
    return run.active(Phase.PENDING, Reason.PENDING, text, actions=tuple(DeleteJob(job.name) for job in jobs))
