"""The facts of the present that waits are counted from."""

from __future__ import annotations

from collections.abc import Iterator

from lora_operator.core.observe.observed import Job, Observed
from lora_operator.core.observe.pod import Pod
from lora_operator.core.observe.sight import Fact, Sight


def facts(observed: Observed) -> Iterator[Fact]:
    """List the facts about the objects of a run."""
    for job in observed.jobs:
        yield Fact(Sight.JOB, job.uid)
        if not job.finished:
            yield pods_of_job(observed, job)
        workload = observed.workload_of(job)
        reserved = workload.condition("QuotaReserved") if workload is not None else None
        if reserved is not None and reserved.true:
            yield Fact(Sight.QUOTA_RESERVED, job.uid)
    for pod in observed.pods:
        yield from _facts_of_pod(pod)
    progress = observed.finetune.status.progress
    if progress is not None:
        yield Fact(Sight.PROGRESS, progress.last_update_time or "")


def _facts_of_pod(pod: Pod) -> Iterator[Fact]:
    yield Fact(Sight.POD, pod.uid)
    if pod.finished:
        yield Fact(Sight.POD_ENDED, pod.uid)
        return
    if pod.deleting:
        yield Fact(Sight.POD_DELETING, pod.uid)
    if pod.waiting is not None:
        yield waits(pod)
    if pod.unscheduled is not None:
        yield Fact(Sight.POD_UNSCHEDULED, pod.uid)


def waits(pod: Pod) -> Fact:
    """Name the fact that a container waits for a cause; the kubelet gives two reasons in turn for a missing image."""
    reason = pod.waiting[0] if pod.waiting is not None else ""
    return Fact(Sight.POD_WAITS, pod.uid, "image" if "Image" in reason or reason == "RegistryUnavailable" else reason)


def pods_of_job(observed: Observed, job: Job) -> Fact:
    """Name the fact that a Job has these pods and no others: one that comes or ends, or a pause, makes it another."""
    pods = observed.pods_of(job.name)
    newest = [pod.name for pod in pods[-1:]]
    unfinished = [pod.name for pod in pods if not pod.finished]
    return Fact(Sight.JOB_HAS_PODS, job.uid, f"suspended={job.suspended} newest={newest} unfinished={unfinished}")
