"""Why a pod ended, by its exit code, else the kubelet's message, else that of the cluster."""

from __future__ import annotations

from dataclasses import dataclass

from lora_contract.exit_codes import ExitCode
from lora_contract.outside import shorten
from lora_contract.reasons import REASON_OF_EXIT_CODE, Reason
from lora_operator.core.observe.pod import Pod
from lora_operator.core.run import limits

_SIGKILL, _SIGTERM = 137, 143

#: How the kubelet says that a pod exceeded a limit of its own on disk, of a volume, the pod or a container.
_OWN_LIMIT = ("exceeds the limit", "exceeds the total limit", "exceeded its local ephemeral storage limit")

#: Reasons of the condition DisruptionTarget.
_DISRUPTIONS = {
    "PreemptionByScheduler": Reason.PREEMPTED,
    "DeletionByTaintManager": Reason.NODE_LOST,
    "DeletionByPodGC": Reason.NODE_LOST,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "TerminationByKubelet": Reason.EVICTED,
}


@dataclass(frozen=True)
class Circumstances:
    """What went on around a pod: the run was suspended, Kueue took its quota (its message), the Job is gone, and it was
    made anew because of another of its pods (the message about that one).
    """

    suspended: bool = False
    preempted: str | None = None
    job_gone: bool = False
    moved: str | None = None


@dataclass(frozen=True)
class End:
    """How a pod ended."""

    reason: Reason
    message: str
    exit_code: int | None = None
    param: str | None = None
    hint: str | None = None


def end_of(pod: Pod, circumstances: Circumstances) -> End:
    """Conclude how a finished pod ended."""
    code = pod.exit_code
    if code == ExitCode.DONE:
        return End(Reason.SUCCEEDED, "", code)
    if code == ExitCode.CHECKPOINTED:
        stopped = _stopped(pod, circumstances) or End(
            Reason.CHECKPOINTED, "The pod was asked to stop and saved a checkpoint."
        )
        return End(stopped.reason, stopped.message, code)
    if code in REASON_OF_EXIT_CODE:
        return _by_exit_code(pod, code)
    if pod.exit_reason == "OOMKilled":
        return End(Reason.OOM_KILLED, "The container used more memory than its limit.", code)
    if (outside := _stopped(pod, circumstances)) is not None:
        return End(outside.reason, outside.message, code)
    if code in (_SIGKILL, _SIGTERM):
        return End(Reason.KILLED, f"The container was killed by signal {code - 128}.", code)
    if code is None and pod.phase == "Failed":
        text = f"The node refused the pod: {pod.status_reason} {pod.status_message}"
        return End(Reason.UNSCHEDULABLE, _short(text))
    if code is None:
        return End(Reason.POD_DELETED, "The pod was deleted while it ran.")
    said = pod.exit_message or pod.exit_reason or "no message"
    return End(Reason.INTERNAL_ERROR, _short(f"The container ended with exit code {code}: {said}"), code)


def node_lost(pod: Pod) -> End:
    """Conclude how a pod ended whose node stopped answering."""
    return End(Reason.NODE_LOST, f"Node {pod.node} stopped answering.")


def vanished(circumstances: Circumstances) -> End:
    """Conclude how a pod ended that is gone without a trace."""
    return _by_circumstances(circumstances) or End(Reason.POD_DELETED, "The pod was deleted while it ran.")


def _by_exit_code(pod: Pod, code: int) -> End:
    error = pod.report.error if pod.report else None
    reason = REASON_OF_EXIT_CODE[ExitCode(code)]
    if error is not None:
        return End(reason, _short(error.message), code, error.param, error.hint)
    said = f": {pod.exit_message}" if pod.exit_message and pod.report is None else ""
    return End(reason, _short(f"The container ended with exit code {code}{said}"), code)


def _stopped(pod: Pod, circumstances: Circumstances) -> End | None:
    """Find who stopped the pod from outside, if somebody did."""
    if pod.disruption:
        reason, message = pod.disruption
        return End(_DISRUPTIONS.get(reason, Reason.EVICTED), _short(message))
    if pod.status_reason == "Evicted":
        own_limit = any(words in pod.status_message for words in _OWN_LIMIT)
        reason = Reason.EPHEMERAL_STORAGE_EXCEEDED if own_limit else Reason.EVICTED
        return End(reason, _short(pod.status_message))
    if pod.status_reason in ("NodeLost", "NodeShutdown", "Terminated"):
        return End(Reason.NODE_LOST, _short(pod.status_message))
    if stopped := _by_circumstances(circumstances):
        return stopped
    if pod.deleting or (pod.gone and pod.exit_code is None):
        return End(Reason.POD_DELETED, "The pod was deleted while it ran.")
    return None


def _by_circumstances(circumstances: Circumstances) -> End | None:
    if circumstances.suspended:
        return End(Reason.SUSPENDED, "The run was suspended.")
    if circumstances.preempted is not None:
        return End(Reason.PREEMPTED, _short(circumstances.preempted))
    if circumstances.job_gone and circumstances.moved is not None:
        return End(Reason.EVICTED, _short(f"The pod was stopped to move the run: {circumstances.moved}"))
    if circumstances.job_gone:
        return End(Reason.JOB_DELETED, "The Job was deleted while it ran.")
    return None


def _short(text: str) -> str:
    return shorten(text.strip(), limits.LONGEST_MESSAGE)
