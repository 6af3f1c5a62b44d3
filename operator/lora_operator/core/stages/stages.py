"""The two stages of a run, as checks: start its Job, wait for its pod, take its result."""

from __future__ import annotations

from dataclasses import replace

from lora_contract import names
from lora_contract.exit_codes import ExitCode
from lora_contract.reasons import Reason
from lora_contract.status import ConditionType, Phase
from lora_contract.times import parse_time
from lora_operator.core.causes import waiting
from lora_operator.core.causes.pod_end import End
from lora_operator.core.causes.waiting import Trouble
from lora_operator.core.manifests.job import job_manifest
from lora_operator.core.observe.observed import Job
from lora_operator.core.observe.pod import Pod
from lora_operator.core.observe.sight import Fact, Sight
from lora_operator.core.queues import queue_of
from lora_operator.core.record import usage
from lora_operator.core.record.attempts import (
    awaits_its_job,
    counted_failures,
    internal_errors,
    lacks_report,
    moved,
    nodes_to_avoid,
)
from lora_operator.core.record.progress import prepare_progress, publishing
from lora_operator.core.run import limits
from lora_operator.core.run.decision import CreateJob, DeleteJob, Event
from lora_operator.core.run.outcome import Failed, Outcome, UnderWay
from lora_operator.core.run.run import Run, Stage
from lora_operator.core.stages import edits, gpu_fit, identical, loss, results, service, sidecars


def check_prepare(run: Run) -> Outcome | None:
    """Bring the prepare Job forward; None: prepare is done, and latched."""
    if run.prepared:
        return None
    job = run.job("prepare")
    if job is None:
        return _start(run, "prepare")
    return _working(run, "prepare", job)


def check_lost_report(run: Run) -> Outcome | None:
    """Let prepare look for what a train pod published whose report was lost; None: nothing was lost."""
    if not lacks_report(run.status, "train"):
        return None
    job = run.job("prepare")
    if job is None:
        return _start(run, "prepare")
    return loss.found_nothing(run, job) if job.finished else _working(run, "prepare", job)


def check_train(run: Run) -> Outcome:
    """Bring the train Job forward: not started, queued, starting, running, or at its end."""
    job = run.job("train")
    if (waits := identical.wait_for_identical(run, job)) is not None:
        return waits
    if job is None:
        fit = gpu_fit.check_gpu_fit(run)
        return fit.outcome or _start(fit.run, "train")
    return _working(run, "train", job)


def _words(run: Run, stage: Stage) -> tuple[Phase, Reason, str]:
    """Return phase, reason and message of a stage whose Job exists and has nothing else to tell."""
    if stage == "train":
        return Phase.QUEUED, Reason.STARTING, "Waiting for the train pod to start."
    if lacks_report(run.status, "train"):
        text = "What the train pod reported is lost: looking for its adapter in S3; no GPU is held."
        return Phase.PREPARING, Reason.PREPARING, text
    return Phase.PREPARING, Reason.PREPARING, "Checking model and data; no GPU is held."


def _start(run: Run, stage: Stage) -> Outcome:
    """Create the Job of a stage; anew where somebody deleted it."""
    if error := run.refused_lately(run.job_names[stage]) or run.refused_lately(names.RUNS_POLICY):
        found = waiting.create_trouble(error)
        what = "NetworkPolicy of the namespace" if error.name == names.RUNS_POLICY else f"{stage} Job"
        text = f"The {what} was refused: {found.message}"
        return UnderWay(
            Phase.PENDING, found.reason, text, run.status, look_again=limits.RETRY - run.elapsed(error.time)
        )
    deleted = sum(1 for attempt in run.status.attempts if attempt.reason == Reason.JOB_DELETED)
    if deleted >= limits.JOB_DELETIONS:
        return results.failure(run, End(Reason.JOB_DELETED, f"The Job was deleted {deleted} times while it ran."))
    manifest = job_manifest(
        run.finetune,
        run.spec,
        run.settings,
        stage=stage,
        name=run.job_names[stage],
        spec_hash=run.status.spec_hash or "",
        run_id=run.status.run_id,
        plan=run.status.plan if stage == "train" else None,
        retries=max(0, run.spec.retries - counted_failures(run.status)),
        avoid_nodes=nodes_to_avoid(run.status),
    )
    events: tuple[Event, ...] = ()
    if loss.existed(run, stage) and moved(run.status) is None:
        text = f"The {stage} Job was deleted; it is created again and goes on from the last checkpoint."
        events = (Event("Warning", Reason.JOB_DELETED, text),)
    phase, reason, text = _words(run, stage)
    if stage == "train" and run.spec.scheduling.queue_name:
        reason, text = Reason.QUEUED, f"Waiting in queue {run.spec.scheduling.queue_name}."
    return UnderWay(phase, reason, text, run.status, actions=(CreateJob(manifest),), events=events)


def _failed(run: Run, stage: Stage) -> Outcome | None:
    """Fail a run whose Job would fail: a pod exceeded its disk, or met an internal error for the second time.

    Whatever retries are left: the next pod would write as much, and no failure policy of a Job can count the ends with
    one exit code. The Job goes with the failed run.
    """
    mine = (attempt for attempt in run.status.attempts if attempt.job == run.job_names[stage])
    full = next((attempt for attempt in mine if attempt.reason == Reason.EPHEMERAL_STORAGE_EXCEEDED), None)
    if full is not None:
        end = End(Reason.EPHEMERAL_STORAGE_EXCEEDED, full.message or "", full.exit_code)
        return results.failure(run, end, ended=parse_time(full.end_time))
    ends = internal_errors(run.status)
    if stage != "train" or len(ends) < limits.INTERNAL_ERRORS:
        return None
    last = ends[-1]
    text = f"The train pod ended {len(ends)} times with an internal error; the last time: {last.message}"
    return results.failure(run, End(Reason.INTERNAL_ERROR, text, last.exit_code), ended=parse_time(last.end_time))


def _move_to_other_node(run: Run, stage: Stage, job: Job) -> Outcome | None:
    """Make the Job anew, away from a node that failed: the template of one that exists cannot change.

    A pod on a dead node keeps its Job from making another for ever; without its Job it holds nothing up. The cause is
    told first: with the Job goes the pod that shows it.
    """
    pods = [pod for pod in run.present_pods(stage) if pod.created >= job.created and not pod.gone]
    may_retry = counted_failures(run.status) <= run.spec.retries
    if lost := next((pod for pod in pods if run.abandoned(pod)), None):
        why = f"Node {lost.node} stopped answering"
    elif broken := next((pod for pod in pods if may_retry and pod.exit_code == ExitCode.GPU_FAILED), None):
        why = f"The GPU of node {broken.node} failed"
    else:
        return None
    phase, reason, _ = _words(run, stage)
    text = f"{why}; the run goes on from its last checkpoint, on another node if one has room."
    if run.status.attempts != run.before.attempts:
        return UnderWay(phase, reason, text, run.status, look_again=0)
    return UnderWay(phase, reason, text, run.status, actions=(DeleteJob(job.name),))


def _working(run: Run, stage: Stage, job: Job) -> Outcome:
    if ended := _ended(run, stage, job):
        return ended
    if job.deleting:
        return run.unchanged(look_again=limits.RETRY)
    if other_objects := edits.make_anew(run, stage, job) or service.ensure_service(run, job):
        return other_objects
    if elsewhere := _move_to_other_node(run, stage, job):
        return elsewhere
    if resumed := _resumed(run, stage, job):
        return resumed
    if job.suspended:
        return _queued(run, job, run.present_pods(stage))
    pod = service.representative_pod(run, stage)
    if pod is None:
        return _without_pod(run, stage, job)
    if pod.finished:
        return sidecars.kept(run, stage, pod) or _between_pods(run, stage, job, pod)
    if pod.running_since is not None:
        return _running(run, stage, pod)
    return _waiting(run, stage, waiting.pod_trouble(run, pod), pod)


def _ended(run: Run, stage: Stage, job: Job) -> Outcome | None:
    if not job.finished:
        return _failed(run, stage)
    if (wait := loss.wait_for_report(run, job)) is not None:
        return run.unchanged(look_again=wait)
    if job.failure is not None:
        return results.job_failed(run, stage, job) or loss.lost(run, stage, job)
    published = results.check_trained(run, job) if stage == "train" else None
    return published or loss.lost(run, stage, job)


def _resumed(run: Run, stage: Stage, job: Job) -> Outcome | None:
    """Let a Job go on that is paused though spec.suspend is false."""
    queue = queue_of(job, run.observed.workloads)
    actions = queue.resume(run, job)
    if not actions:
        return None
    phase, reason, text = _words(run, stage)
    if (place := queue.status_of(run, job, None)) is not None:
        reason, text = Reason.QUEUED, f"Waiting in queue {place.local_queue}."
    return UnderWay(phase, reason, text, run.status, actions=actions)


def _queued(run: Run, job: Job, pods: tuple[Pod, ...]) -> Outcome:
    """Say how the Job stands in the queue that holds it."""
    queue = queue_of(job, run.observed.workloads)
    unfinished = [pod for pod in pods if not pod.finished]
    if queue.is_between(run, job, stopping=bool(unfinished)):
        return run.unchanged(look_again=limits.SETTLE)
    where = queue.place(run, job)
    status = queue.status_of(run, job, usage.counted_until(run.status))
    if any(pod.deleting for pod in unfinished):
        return UnderWay(Phase.RUNNING, where.reason, f"Saving a checkpoint. {where.message}", run.status, queue=status)
    if where.failed:
        return results.failure(run, End(where.reason, where.message))
    outcome = UnderWay(
        Phase.QUEUED,
        where.reason,
        where.message,
        run.status,
        look_again=where.look_again,
        queue=status,
    )
    if (
        run.observed.workload_of(job) is None
        and run.observed.kueue_installed
        and run.seen_for(Fact(Sight.JOB, job.uid)) >= limits.QUEUE_GRACE
    ):
        read = waiting.reading(run, job)
        again = waiting.reading_interval(run, job)
        outcome = replace(outcome, actions=(read,) if read else (), look_again=again)
    return outcome


def _without_pod(run: Run, stage: Stage, job: Job) -> Outcome:
    found, read = waiting.job_trouble(run, job)
    outcome = replace(_waiting(run, stage, found, None), actions=() if read is None else (read,))
    if isinstance(outcome, Failed):
        return outcome
    settling = waiting.without_pod_for(run, job) < limits.SETTLE
    again = limits.SETTLE if settling else waiting.reading_interval(run, job)
    return replace(outcome, look_again=min(again, outcome.look_again or again))


def _waiting(run: Run, stage: Stage, found: Trouble | None, pod: Pod | None) -> UnderWay | Failed:
    """Wait for a pod to come or to start; `found` says what is in its way."""
    phase, reason, text = _words(run, stage)
    if found is None:
        young = pod is not None and run.seen_for(Fact(Sight.POD, pod.uid)) < limits.SETTLE
        kept = _retry_text(run, stage)
        return UnderWay(phase, reason, kept or text, run.status, look_again=limits.SETTLE if young else None)
    if found.fatal:
        return results.failure(run, End(found.reason, found.message))
    ready = run.before.condition(ConditionType.READY)
    message = found.message
    if found.reason == Reason.IMAGE_PULL_FAILED and ready is not None and ready.reason == found.reason:
        message = ready.message  # the kubelet alternates between two wordings of one cause
    return UnderWay(phase, found.reason, message, run.status, look_again=found.look_again)


def _between_pods(run: Run, stage: Stage, job: Job, newest: Pod) -> Outcome:
    """Wait where the newest pod ended and the Job neither ended nor made another yet."""
    if awaits_its_job(run, newest, job):
        return run.unchanged(look_again=limits.JOB_GRACE - run.seen_for(Fact(Sight.POD_ENDED, newest.uid)))
    return _without_pod(run, stage, job)


def _retry_text(run: Run, stage: Stage) -> str | None:
    """Say that another pod is started after one that ended."""
    mine = [a for a in run.status.attempts if a.job == run.job_names[stage] and a.end_time is not None]
    if not mine or mine[-1].reason == Reason.SUCCEEDED:
        return None
    return f"Starting again after {mine[-1].pod} ended: {mine[-1].reason}."


def _running(run: Run, stage: Stage, pod: Pod) -> Outcome:
    if pod.unreachable and not pod.finished:
        return _unreachable(run, stage, pod)
    if stage == "prepare":
        phase, reason, text = _words(run, stage)
        return UnderWay(phase, reason, text + prepare_progress(run, pod), run.status)
    if pod.disruption is not None and pod.deleting:
        return UnderWay(Phase.RUNNING, Reason.TRAINING, f"The pod is being stopped: {pod.disruption[1]}", run.status)
    said_before = run.before.phase == Phase.PUBLISHING and run.observed.progress is None and not run.superseded
    if said_before or (publishing(run) and _is_its_progress(run)):
        return UnderWay(
            Phase.PUBLISHING, Reason.PUBLISHING, "Evaluating, verifying and publishing the adapter.", run.status
        )
    nodes = sorted({each.node for each in run.present_pods(stage) if each.node})
    where = f"on {', '.join(nodes)}" if nodes else "in the train pod"
    return UnderWay(Phase.RUNNING, Reason.TRAINING, f"Training {where}.", run.status)


def _unreachable(run: Run, stage: Stage, pod: Pod) -> Outcome:
    """Wait for a node that does not answer: it comes back and nothing was lost, or the cluster gives the pod up."""
    phase = Phase.RUNNING if stage == "train" else Phase.PREPARING
    text = (
        f"Node {pod.node} stopped answering. If it does not come back, the cluster gives the pod up,"
        " and the run goes on from its last checkpoint on another node."
    )
    return UnderWay(
        phase, Reason.NODE_LOST, text, run.status, look_again=run.until_abandoned(pod) if pod.deleting else None
    )


def _is_its_progress(run: Run) -> bool:
    """Return whether the latest report is of the pod that speaks for the run now."""
    progress = run.observed.progress
    return progress is not None and any(p.speaks and p.name == progress.pod for p in run.present_pods("train"))
