"""The Job of a stage: it is created, moved, held by its queue, and ends."""

from __future__ import annotations

from dataclasses import replace

from lora_contract import names
from lora_contract.counts import counted
from lora_contract.exit_codes import ExitCode
from lora_contract.names import RunStage
from lora_contract.reasons import Reason
from lora_contract.status import Phase
from lora_contract.times import parse_time
from lora_operator.core.causes import waiting
from lora_operator.core.causes.pod_end import End
from lora_operator.core.manifests.job import job_manifest, service_manifest
from lora_operator.core.manifests.network_policy import group_policy
from lora_operator.core.observe.observed import Job
from lora_operator.core.observe.resource import CreateError
from lora_operator.core.observe.sight import Fact, Sight
from lora_operator.core.queues import queue_of, waits_in
from lora_operator.core.record import usage
from lora_operator.core.record.attempts import counted_failures, internal_errors, moved, nodes_to_avoid
from lora_operator.core.run import limits
from lora_operator.core.run.decision import Action, CreateGroupPolicy, CreateJob, CreateService, DeleteJob, Event
from lora_operator.core.run.outcome import Failed, Outcome, UnderWay
from lora_operator.core.run.run import Run
from lora_operator.core.stages import edits, loss, results
from lora_operator.core.stages.stage_pod import describe, follow_pods


def create_job(run: Run, stage: RunStage) -> UnderWay | Failed:
    """Create the Job of a stage; anew where somebody deleted it."""
    if error := run.refused_lately(run.job_names[stage], names.RUNS_POLICY):
        policy = error.name == names.RUNS_POLICY
        what = "The NetworkPolicy of the namespace" if policy else f"The {stage} Job"
        return _retry_refused(run, Phase.PENDING, what, error)
    deleted = sum(1 for attempt in run.status.attempts if attempt.reason == Reason.JOB_DELETED)
    if deleted >= limits.JOB_DELETIONS:
        text = f"The Job was deleted {counted(deleted, 'time')} while it ran."
        return results.failure(run, End(Reason.JOB_DELETED, text))
    manifest = job_manifest(
        run.finetune,
        run.spec,
        run.settings,
        stage=stage,
        name=run.job_names[stage],
        spec_hash=run.status.spec_hash or "",
        run_id=run.status.run_id,
        parent=run.status.parent,
        plan=run.status.plan if stage == "train" else None,
        retries=max(0, run.spec.retries - counted_failures(run.status)),
        avoid_nodes=nodes_to_avoid(run.status),
    )
    events: tuple[Event, ...] = ()
    if loss.existed(run, stage) and moved(run.status) is None:
        text = f"The {stage} Job was deleted; it is created again and goes on from the last checkpoint."
        events = (Event("Warning", Reason.JOB_DELETED, text),)
    phase, reason, text = describe(run, stage)
    if stage == "train" and run.spec.scheduling.queue_name:
        reason, text = Reason.QUEUED, waits_in(run.spec.scheduling.queue_name)
    return UnderWay(phase, reason, text, run.status, actions=(CreateJob(manifest),), events=events)


def follow_job(run: Run, stage: RunStage, job: Job) -> Outcome:
    """Bring a Job that exists one step forward; the first step that is due is the one."""
    if ended := _ended(run, stage, job):
        return ended
    if job.deleting:
        return run.unchanged(look_again=limits.RETRY)
    if other_objects := edits.make_anew(run, stage, job) or _ensure_service(run, job):
        return other_objects
    if elsewhere := _move_to_other_node(run, stage, job):
        return elsewhere
    if resumed := _resumed(run, stage, job):
        return resumed
    return _queued(run, stage, job) if job.suspended else follow_pods(run, stage, job)


def _ended(run: Run, stage: RunStage, job: Job) -> Outcome | None:
    """End a stage by what its pod reported; None: its Job goes on."""
    if not job.finished:
        return _fail_early(run, stage)
    if (wait := loss.wait_for_report(run, job)) is not None:
        return run.unchanged(look_again=wait)
    if job.failure is not None:
        return results.job_failed(run, stage, job) or loss.lost(run, stage, job)
    published = results.check_trained(run, job) if stage == "train" else None
    return published or loss.lost(run, stage, job)


def _fail_early(run: Run, stage: RunStage) -> Failed | None:
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
    text = f"The train pod ended {counted(len(ends), 'time')} with an internal error; the last time: {last.message}"
    return results.failure(run, End(Reason.INTERNAL_ERROR, text, last.exit_code), ended=parse_time(last.end_time))


def _ensure_service(run: Run, job: Job) -> UnderWay | None:
    """Create the Service and NetworkPolicy of a Job on several nodes; None: they are there, or not needed."""
    if run.spec.compute.nodes == 1 or job.stage != names.STAGE_TRAIN or job.uid in run.observed.services:
        return None
    name = names.service_name(job.name)  # of both
    if (error := run.refused_lately(name)) is not None:
        what = f"{name}, the Service or NetworkPolicy through which the pods meet,"
        return _retry_refused(run, Phase.QUEUED, what, error)
    creates: tuple[Action, ...] = (CreateService(service_manifest(run.finetune, run.settings, job), job.uid),)
    if run.settings.network_policies:
        # First: that the Service was made says that both are there.
        policy = group_policy(run.finetune.namespace, run.settings, job)
        creates = (CreateGroupPolicy(policy, job.uid), *creates)
    return replace(run.unchanged(), actions=creates)


def _retry_refused(run: Run, phase: Phase, what: str, error: CreateError) -> UnderWay:
    """Wait until what the API server refused is created again, and explain why it was refused."""
    found = waiting.create_trouble(what, error)
    return UnderWay(phase, found.reason, found.message, run.status, look_again=run.until_retry(error))


def _move_to_other_node(run: Run, stage: RunStage, job: Job) -> UnderWay | None:
    """Make the Job anew, away from a node that failed: the template of one that exists cannot change.

    A pod on a dead node keeps its Job from making another for ever; without its Job it holds nothing up. The cause is
    reported first: with the Job goes the pod that shows it.
    """
    pods = [pod for pod in run.present_pods(stage) if pod.created >= job.created and not pod.gone]
    may_retry = counted_failures(run.status) <= run.spec.retries
    if lost := next((pod for pod in pods if run.abandoned(pod)), None):
        why = f"Node {lost.node} stopped answering"
    elif broken := next((pod for pod in pods if may_retry and pod.exit_code == ExitCode.GPU_FAILED), None):
        why = f"The GPU of node {broken.node} failed"
    else:
        return None
    phase, reason, _ = describe(run, stage)
    text = f"{why}; the run goes on from its last checkpoint, on another node if one has room."
    if run.status.attempts != run.before.attempts:
        return UnderWay(phase, reason, text, run.status, look_again=0)
    return UnderWay(phase, reason, text, run.status, actions=(DeleteJob(job.name),))


def _resumed(run: Run, stage: RunStage, job: Job) -> UnderWay | None:
    """Let a Job go on that is paused though spec.suspend is false."""
    queue = queue_of(job, run.observed.workloads)
    actions = queue.resume(run, job)
    if not actions:
        return None
    phase, reason, text = describe(run, stage)
    if (place := queue.status_of(run, job, None)) is not None:
        reason, text = Reason.QUEUED, waits_in(place.local_queue)
    return UnderWay(phase, reason, text, run.status, actions=actions)


def _queued(run: Run, stage: RunStage, job: Job) -> UnderWay | Failed:
    """Say how the Job stands in the queue that holds it."""
    queue = queue_of(job, run.observed.workloads)
    unfinished = [pod for pod in run.present_pods(stage) if not pod.finished]
    if queue.is_between(run, job, stopping=bool(unfinished)):
        return run.unchanged(look_again=limits.SETTLE)
    where = queue.place(run, job)
    status = queue.status_of(run, job, usage.counted_until(run.status))
    if any(pod.deleting for pod in unfinished):
        return UnderWay(Phase.RUNNING, where.reason, f"Saving a checkpoint. {where.message}", run.status, queue=status)
    if where.failed:
        return results.failure(run, End(where.reason, where.message))
    outcome = UnderWay(Phase.QUEUED, where.reason, where.message, run.status, look_again=where.look_again, queue=status)
    if (
        run.observed.workload_of(job) is None
        and run.observed.kueue_installed
        and run.seen_for(Fact(Sight.JOB, job.uid)) >= limits.QUEUE_GRACE
    ):
        read = waiting.reading(run, job)
        again = waiting.reading_interval(run, job)
        outcome = replace(outcome, actions=(read,) if read else (), look_again=again)
    return outcome


def stale_jobs(run: Run) -> tuple[Action, ...]:
    """Delete the Jobs that an earlier run of this resource left."""
    current = set(run.job_names.values())
    return tuple(DeleteJob(job.name) for job in run.observed.jobs if job.name not in current and not job.deleting)
