"""A train Job of several pods: which of them tells how the run stands, and the Service through which they meet."""

from __future__ import annotations

from dataclasses import replace

from lora_contract import names
from lora_contract.exit_codes import ExitCode
from lora_contract.status import Phase
from lora_operator.core.causes import waiting
from lora_operator.core.manifests.job import service_manifest
from lora_operator.core.manifests.network_policy import group_policy
from lora_operator.core.observe.observed import Job
from lora_operator.core.observe.pod import Pod
from lora_operator.core.run import limits
from lora_operator.core.run.decision import Action, CreateGroupPolicy, CreateService
from lora_operator.core.run.outcome import UnderWay
from lora_operator.core.run.run import Run, Stage


def representative_pod(run: Run, stage: Stage) -> Pod | None:
    """Find the pod whose state is that of the stage: all train together, so the one that is furthest behind.

    None: a pod is missing. With one pod it is that pod.
    """
    pods = run.present_pods(stage)
    wanted = run.spec.compute.nodes if stage == names.STAGE_TRAIN else 1
    if len(pods) < wanted:
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


def ensure_service(run: Run, job: Job) -> UnderWay | None:
    """Create the Service and NetworkPolicy of a Job on several nodes; None: they are there, or not needed."""
    if run.spec.compute.nodes == 1 or job.stage != names.STAGE_TRAIN or job.uid in run.observed.services:
        return None
    name = names.service_name(job.name)  # of both
    if (error := run.refused_lately(name)) is not None:
        found = waiting.create_trouble(error)
        text = f"{name}, the Service or NetworkPolicy through which the pods meet, was refused: {found.message}"
        return UnderWay(Phase.QUEUED, found.reason, text, run.status, look_again=limits.RETRY - run.elapsed(error.time))
    creates: tuple[Action, ...] = (CreateService(service_manifest(run.finetune, run.settings, job), job.uid),)
    if run.settings.network_policies:
        # First: that the Service was made says that both are there.
        creates = (CreateGroupPolicy(group_policy(run.finetune.namespace, job), job.uid), *creates)
    return replace(run.unchanged(), actions=creates)
