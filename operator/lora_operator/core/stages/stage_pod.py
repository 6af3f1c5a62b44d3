"""The pods of a Job that may run: which of them shows how the stage stands, and what is in its way."""

from __future__ import annotations

from dataclasses import replace

from lora_contract.conditions import ConditionType
from lora_contract.exit_codes import ExitCode
from lora_contract.names import RunStage
from lora_contract.reasons import Reason
from lora_contract.status import Phase
from lora_operator.core.causes import waiting
from lora_operator.core.causes.pod_end import End
from lora_operator.core.causes.waiting import Trouble
from lora_operator.core.observe.observed import Job
from lora_operator.core.observe.pod import Pod
from lora_operator.core.observe.sight import Fact, Sight
from lora_operator.core.record.attempts import awaits_its_job, lacks_report
from lora_operator.core.record.progress import prepare_progress, publishing
from lora_operator.core.run import limits
from lora_operator.core.run.outcome import Failed, UnderWay
from lora_operator.core.run.run import Run
from lora_operator.core.stages import results, sidecars


def follow_pods(run: Run, stage: RunStage, job: Job) -> UnderWay | Failed:
    """Say how far the pods of a stage are: to be made, starting, running, or ended before their Job."""
    pod = _representative(run, stage)
    if pod is None:
        return _without_pod(run, stage, job)
    if pod.finished:
        if kept := sidecars.kept(run, stage, pod):
            return kept
        if awaits_its_job(run, pod, job):
            return run.unchanged(look_again=limits.JOB_GRACE - run.seen_for(Fact(Sight.POD_ENDED, pod.uid)))
        return _without_pod(run, stage, job)
    if pod.running_since is None:
        return _starting(run, stage, pod)
    if pod.unreachable:
        return _unreachable(run, stage, pod)
    if stage == "train":
        return _training(run, pod)
    phase, reason, text = describe(run, stage)
    return UnderWay(phase, reason, text + prepare_progress(run, pod), run.status)


def describe(run: Run, stage: RunStage) -> tuple[Phase, Reason, str]:
    """Return phase, reason and message of a stage whose Job exists and has nothing else to report."""
    if stage == "train":
        return Phase.QUEUED, Reason.STARTING, "Waiting for the train pod to start."
    if lacks_report(run.status, "train"):
        text = "What the train pod reported is lost: looking for its adapter in S3; no GPU is held."
        return Phase.PREPARING, Reason.PREPARING, text
    return Phase.PREPARING, Reason.PREPARING, "Checking model and data; no GPU is held."


def _representative(run: Run, stage: RunStage) -> Pod | None:
    """Find the pod whose state is that of the stage: all train together, so the one that is furthest behind.

    None: a pod is missing. With one pod it is that pod.
    """
    pods = run.present_pods(stage)
    if len(pods) < run.wanted_pods(stage):
        return None
    # One that ended well only waits for the rest of its Job.
    left = [pod for pod in pods if pod.exit_code != ExitCode.DONE] or list(pods)
    return min(left, key=lambda pod: (_progress(pod), pod.index))


def _progress(pod: Pod) -> int:
    """Rank how far a pod is: ended and to be replaced, not started, on a silent node, running."""
    if pod.finished:
        return 0
    if pod.running_since is None:
        return 1
    return 2 if pod.unreachable else 3


def _without_pod(run: Run, stage: RunStage, job: Job) -> UnderWay | Failed:
    """Wait for the Job to make a pod; read its Warning Events for what keeps it from that."""
    found, read = waiting.job_trouble(run, job)
    outcome = replace(_waiting(run, stage, found, None), actions=() if read is None else (read,))
    if isinstance(outcome, Failed):
        return outcome
    settling = waiting.without_pod_for(run, job) < limits.SETTLE
    again = limits.SETTLE if settling else waiting.reading_interval(run, job)
    return replace(outcome, look_again=min(again, outcome.look_again or again))


def _starting(run: Run, stage: RunStage, pod: Pod) -> UnderWay | Failed:
    """Wait for a pod to start; where that takes long, read its Warning Events for what keeps its volumes from it."""
    found = waiting.pod_trouble(run, pod)
    if found is not None or pod.waiting is None or pod.waiting[0] != "ContainerCreating":
        return _waiting(run, stage, found, pod)
    found, read, again = waiting.volume_trouble(run, pod)
    outcome = replace(_waiting(run, stage, found, pod), actions=() if read is None else (read,))
    return replace(outcome, look_again=again) if isinstance(outcome, UnderWay) else outcome


def _waiting(run: Run, stage: RunStage, found: Trouble | None, pod: Pod | None) -> UnderWay | Failed:
    """Wait for a pod to come or to start; `found` says what is in its way."""
    phase, reason, text = describe(run, stage)
    if found is None:
        young = pod is not None and run.seen_for(Fact(Sight.POD, pod.uid)) < limits.SETTLE
        retry = _retry_text(run, stage)
        return UnderWay(phase, reason, retry or text, run.status, look_again=limits.SETTLE if young else None)
    if found.fatal:
        return results.failure(run, End(found.reason, found.message))
    ready = run.before.condition(ConditionType.READY)
    message = found.message
    if found.reason == Reason.IMAGE_PULL_FAILED and ready is not None and ready.reason == found.reason:
        message = ready.message  # the kubelet alternates between two wordings of one cause
    return UnderWay(phase, found.reason, message, run.status, look_again=found.look_again)


def _retry_text(run: Run, stage: RunStage) -> str | None:
    """Say that another pod is started after one that ended."""
    mine = [a for a in run.status.attempts if a.job == run.job_names[stage] and a.end_time is not None]
    if not mine or mine[-1].reason == Reason.SUCCEEDED:
        return None
    return f"Starting again after {mine[-1].pod} ended: {mine[-1].reason}."


def _unreachable(run: Run, stage: RunStage, pod: Pod) -> UnderWay:
    """Wait for a node that does not answer: it comes back and nothing was lost, or the cluster gives the pod up."""
    phase = Phase.RUNNING if stage == "train" else Phase.PREPARING
    text = (
        f"Node {pod.node} stopped answering. If it does not come back, the cluster gives the pod up,"
        " and the run goes on from its last checkpoint on another node."
    )
    return UnderWay(
        phase, Reason.NODE_LOST, text, run.status, look_again=run.until_abandoned(pod) if pod.deleting else None
    )


def _training(run: Run, pod: Pod) -> UnderWay:
    if pod.disruption is not None and pod.deleting:
        return UnderWay(Phase.RUNNING, Reason.TRAINING, f"The pod is being stopped: {pod.disruption[1]}", run.status)
    said_before = run.before.phase == Phase.PUBLISHING and run.observed.progress is None and not run.superseded
    if said_before or (publishing(run) and _is_its_progress(run)):
        return UnderWay(
            Phase.PUBLISHING, Reason.PUBLISHING, "Evaluating, verifying and publishing the adapter.", run.status
        )
    nodes = sorted({each.node for each in run.present_pods("train") if each.node})
    where = f"on {', '.join(nodes)}" if nodes else "in the train pod"
    return UnderWay(Phase.RUNNING, Reason.TRAINING, f"Training {where}.", run.status)


def _is_its_progress(run: Run) -> bool:
    """Return whether the latest report is of the pod that speaks for the run now."""
    progress = run.observed.progress
    return progress is not None and any(p.speaks and p.name == progress.pod for p in run.present_pods("train"))
