"""Pods whose work is over while other containers, injected by somebody, keep them: no Job ends before its pods do."""

from __future__ import annotations

from dataclasses import replace

from lora_contract import names
from lora_contract.exit_codes import FINAL, ExitCode
from lora_contract.names import RunStage
from lora_contract.reasons import Reason
from lora_contract.status import Phase
from lora_operator.core.observe.observed import Job, ObjectCondition
from lora_operator.core.observe.pod import Pod
from lora_operator.core.observe.sight import Fact, Sight
from lora_operator.core.run import limits
from lora_operator.core.run.decision import Action, DeleteJob
from lora_operator.core.run.outcome import UnderWay
from lora_operator.core.run.run import Run


def concluded(run: Run) -> Run:
    """Regard a Job as ended whose pods have done their work, and were kept by other containers for long enough.

    Only for ends that no other pod would change: all did their work, or one met an error that is final.
    """
    stages: tuple[RunStage, ...] = ("prepare", "train")
    verdicts = {job.uid: end for stage in stages if (job := run.job(stage)) and (end := _verdict(run, stage, job))}
    jobs = tuple(
        replace(job, conditions=(*job.conditions, end), completed=end.since) if (end := verdicts.get(job.uid)) else job
        for job in run.observed.jobs
    )
    return replace(run, observed=replace(run.observed, jobs=jobs))


def _verdict(run: Run, stage: RunStage, job: Job) -> ObjectCondition | None:
    pods = [pod for pod in run.present_pods(stage) if pod.created >= job.created]
    kept = [pod for pod in pods if pod.kept_by]
    if job.finished or job.deleting or not kept or min(_kept_for(run, pod) for pod in kept) < limits.SIDECAR_WAIT:
        return None
    ended = max((pod.ended for pod in pods if pod.ended), default=None)
    if any(pod.exit_code in FINAL for pod in kept):
        return ObjectCondition("Failed", "True", "", "", ended)
    if len(pods) >= run.wanted_pods(stage) and all(pod.exit_code == ExitCode.DONE for pod in pods):
        return ObjectCondition("Complete", "True", "", "", ended)
    return None


def _kept_for(run: Run, pod: Pod) -> float:
    return run.seen_for(Fact(Sight.POD_ENDED, pod.uid))


def kept(run: Run, stage: RunStage, pod: Pod) -> UnderWay | None:
    """Name the containers that keep a pod whose work is over; None: there are none, or it is over just now."""
    if not pod.kept_by:
        return None
    waited = _kept_for(run, pod)
    if waited < limits.SIDECAR_SETTLE:
        return run.unchanged(look_again=limits.SIDECAR_SETTLE - waited)
    text = (
        f"The work of the {stage} pod is over, but other containers keep it: {', '.join(pod.kept_by)}. Make them"
        " native sidecars, or keep them out with the injector's annotation (platform: trainer.podAnnotations)."
    )
    phase = Phase.PREPARING if stage == names.STAGE_PREPARE else Phase.RUNNING
    left = limits.SIDECAR_WAIT - waited
    return UnderWay(phase, Reason.OTHER_CONTAINERS_RUNNING, text, run.status, look_again=left if left > 0 else None)


def kept_jobs(before: Run, run: Run) -> tuple[Action, ...]:
    """Delete a prepare Job that would never end, once what it found is latched in the status as found."""
    job, as_concluded = before.job("prepare"), run.job("prepare")
    latched = run.before.run_id is not None and run.before.plan is not None and not run.superseded
    if job is None or job.finished or job.deleting or as_concluded is None or not as_concluded.complete or not latched:
        return ()
    return (DeleteJob(job.name),)
