"""Why a pod does not start, by messages of kubelet, scheduler and Job controller; and how long to wait."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lora_contract import names
from lora_contract.outside import shorten
from lora_contract.reasons import Reason
from lora_operator.core.causes import platform_rules
from lora_operator.core.observe import facts
from lora_operator.core.observe.observed import Job, WarningEvent
from lora_operator.core.observe.pod import Pod
from lora_operator.core.observe.resource import CreateError
from lora_operator.core.observe.sight import Fact, Sight
from lora_operator.core.run import limits
from lora_operator.core.run.decision import ReadWarnings
from lora_operator.core.run.run import Run

_IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_VOLUME_REASONS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_START_REASONS = ("CreateContainerError", "RunContainerError")
#: How gRPC, between kubelet and container runtime, and the runtime refuse bytes that no environment variable holds.
_NO_TEXT = re.compile(r"invalid UTF-?8|\bnull? (byte|character)", re.IGNORECASE)
_MAX_MESSAGE = 600
_MAX_ADVICE = 380


@dataclass(frozen=True)
class Trouble:
    """A reason to wait. After `patience` seconds the run fails with it; None: it waits for ever."""

    reason: Reason
    message: str
    waited: float
    patience: float | None

    @property
    def fatal(self) -> bool:
        """Whether the run has waited long enough."""
        return self.patience is not None and self.waited >= self.patience

    @property
    def look_again(self) -> float | None:
        """Seconds until patience ends."""
        return None if self.patience is None else max(0.0, self.patience - self.waited)


def pod_trouble(run: Run, pod: Pod) -> Trouble | None:
    """Find why this pod does not run yet; None: it is young, or nothing is known."""
    if pod.waiting is not None:
        reason, message = pod.waiting
        waited = run.seen_for(facts.waits(pod))
        if reason in _IMAGE_REASONS:
            text = f"The image cannot be pulled: {message or reason}"
            return Trouble(Reason.IMAGE_PULL_FAILED, _short(text), waited, limits.WAIT_LIMIT)
        if reason == "CreateContainerConfigError":
            secret = "secret" in message.lower()
            kind = Reason.SECRET_MISSING if secret else Reason.BAD_CONFIG
            return Trouble(kind, _short(f"The pod cannot start: {message}"), waited, limits.CONFIG_GRACE)
        if reason in _START_REASONS and _NO_TEXT.search(message):
            text = f"A value in {_secrets(run)} is not text, so the pod cannot start; write it anew. {message}"
            return Trouble(Reason.ACCESS_DENIED, _short(text), waited, limits.CONFIG_GRACE)
        if reason in _START_REASONS:
            return Trouble(Reason.INTERNAL_ERROR, _short(f"The pod cannot start: {message}"), waited, limits.WAIT_LIMIT)
        if pod.initializing and waited >= limits.SETTLE:
            text = f"The pod waits for its init containers, which something injected: {', '.join(pod.initializing)}"
            return Trouble(Reason.OTHER_CONTAINERS_RUNNING, _short(text), waited, None)
    if pod.unscheduled is not None and run.seen_for(Fact(Sight.POD, pod.uid)) >= limits.SETTLE:
        return _unscheduled(pod.unscheduled[1], run.seen_for(Fact(Sight.POD_UNSCHEDULED, pod.uid)))
    return None


def _secrets(run: Run) -> str:
    """Name the Secrets whose values become environment variables of the run's pods."""
    names = (run.spec.storage.secret_name, run.spec.model.token_secret_name)
    return " or ".join(f"the Secret {name}" for name in names if name) or "the environment"


def _unscheduled(message: str, waited: float) -> Trouble:
    if "persistentvolumeclaim" in message.lower():
        return Trouble(Reason.VOLUME_MISSING, _short(message), waited, limits.WAIT_LIMIT)
    return Trouble(Reason.UNSCHEDULABLE, _short(message), waited, None)


def job_trouble(run: Run, job: Job) -> tuple[Trouble | None, ReadWarnings | None]:
    """Find why a Job has no pod, and the order to read its Warning Events where they are not known."""
    waited = without_pod_for(run, job)
    if waited < limits.SETTLE:
        return None, None
    failed = next((event for event in fresh_warnings(run, job) if event.reason == "FailedCreate"), None)
    if failed is None:
        return None, reading(run, job)
    found, advice = refusal(failed.message, waited), platform_rules.advice(failed.message, job.stage)
    if advice:
        found = replace(found, message=f"{found.message} {shorten(advice, _MAX_ADVICE)}")
    return found, reading(run, job)


def without_pod_for(run: Run, job: Job) -> float:
    """Count the seconds for which this process has seen no pod come or end, though the Job may have one."""
    return run.seen_for(facts.pods_of_job(run.observed, job))


def fresh_warnings(run: Run, job: Job) -> list[WarningEvent]:
    """Select the warnings about the present lack of a pod: older ones than the newest pod say nothing about it.

    All these times are of the control plane; those of nodes may be wrong by hours.
    """
    warnings = run.observed.warnings
    if warnings is None or warnings.about != job.name:
        return []
    pods = run.observed.pods_of(job.name)
    since = max(job.started or job.created, job.created, *(pod.created for pod in pods))
    return [event for event in warnings.items if event.time is None or event.time >= since]


def reading(run: Run, job: Job) -> ReadWarnings | None:
    """Order to read the Job's Warning Events, unless they were read a moment ago."""
    return _reading(run, ReadWarnings(job.name), reading_interval(run, job))


def _reading(run: Run, order: ReadWarnings, interval: float) -> ReadWarnings | None:
    """Order to read the Warning Events of an object, unless they were read a moment ago."""
    warnings = run.observed.warnings
    known = warnings is not None and warnings.about == order.about and run.elapsed(warnings.read) < interval
    return None if known else order


def reading_interval(run: Run, job: Job) -> float:
    """Return the seconds between two readings: the longer nothing changed, the longer."""
    return _interval(without_pod_for(run, job))


def _interval(waited: float) -> float:
    return min(max(limits.FIRST_READINGS, waited / 4), limits.LONGEST_READINGS)


def volume_trouble(run: Run, pod: Pod) -> tuple[Trouble | None, ReadWarnings | None, float]:
    """Find what keeps the volumes of a pod from being mounted; the order to read its Events; when to look again.

    It never fails the run: what a node said of a volume may be over, and an image be pulled since.
    """
    waited = run.seen_for(facts.waits(pod))
    if waited < limits.VOLUMES_SETTLE:
        return None, None, limits.VOLUMES_SETTLE - waited
    warnings, interval = run.observed.warnings, _interval(waited)
    items = warnings.items if warnings is not None and warnings.about == pod.name else ()
    failed = next((event for event in items if event.reason in _VOLUME_REASONS), None)
    found = None
    if failed is not None:
        text = f"{failed.message}. The pod starts once its volumes can be mounted."
        if f'"{names.CA_BUNDLE_VOLUME}"' in failed.message:
            text += " This one is the platform's (trainer.caBundle): it has to be in each namespace of runs."
        found = Trouble(Reason.VOLUME_MISSING, _short(text), waited, None)
    return found, _reading(run, ReadWarnings(pod.name, "Pod"), interval), interval


def refusal(message: str, waited: float) -> Trouble:
    """Conclude what the API server's refusal of a pod or Job means."""
    lower = message.lower()
    if "exceeded quota" in lower:
        return Trouble(Reason.QUOTA_EXCEEDED, _short(message), waited, None)
    if "serviceaccount" in lower or "service account" in lower:
        return Trouble(Reason.SERVICE_ACCOUNT_MISSING, _short(message), waited, limits.WAIT_LIMIT)
    return Trouble(Reason.ADMISSION_DENIED, _short(message), waited, limits.WAIT_LIMIT)


def create_trouble(what: str, error: CreateError) -> Trouble:
    """Conclude what it means that `what` was not created. It is tried again for ever: nothing is held meanwhile."""
    if error.unreadable:
        text = f"{error.message}. Give the operator's ServiceAccount the right to get it."
        return Trouble(Reason.ADMISSION_DENIED, _short(text), 0, None)
    if error.code == 409:
        text = f"{what} was refused: {error.message}. Delete it, or apply this one under another name."
        return Trouble(Reason.NAME_TAKEN, _short(text), 0, None)
    found = refusal(error.message, 0)
    return Trouble(found.reason, _short(f"{what} was refused: {found.message}"), 0, None)


def _short(text: str) -> str:
    return shorten(text.strip(), _MAX_MESSAGE)
