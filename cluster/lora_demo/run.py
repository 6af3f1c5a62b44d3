"""Watching one LoRAFineTune from outside, as a person with kubectl would."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lora_cluster.errors import ClusterError
from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.reasons import Reason
from lora_contract.status import LoRAFineTuneStatus
from lora_demo.kubernetes import Kubernetes

_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Run:
    """One resource in the cluster."""

    kubernetes: Kubernetes
    namespace: str
    name: str

    def read(self) -> dict[str, Any]:
        """Return the whole object."""
        return self.kubernetes.get(names.PLURAL, self.name, f"--namespace={self.namespace}")

    def status(self) -> LoRAFineTuneStatus:
        """Return its status."""
        return LoRAFineTuneStatus.model_validate(self.read().get("status") or {})

    def jobs(self) -> list[dict[str, Any]]:
        """Return its Jobs, in no order."""
        selector = f"--selector={names.LABEL_FINETUNE}={self.name}"
        found: list[dict[str, Any]] = self.kubernetes.get("jobs", f"--namespace={self.namespace}", selector)["items"]
        return found

    def train_jobs(self) -> list[dict[str, Any]]:
        """Return its Jobs that train."""
        return [job for job in self.jobs() if job["metadata"]["labels"][names.LABEL_STAGE] == names.STAGE_TRAIN]

    def delete(self) -> None:
        """Delete it, if it is there."""
        self.kubernetes.run("delete", names.PLURAL, self.name, f"--namespace={self.namespace}", "--ignore-not-found")

    def forget_failed(self) -> bool:
        """Delete it where it is there and failed; whether it did."""
        if not self.kubernetes.succeeds("get", names.PLURAL, self.name, f"--namespace={self.namespace}"):
            return False
        status = self.status()
        if not status.finished or is_complete(status):
            return False
        self.delete()
        return True

    def wait_finished(
        self, seconds: float, *, watch: Callable[[LoRAFineTuneStatus], None] | None = None
    ) -> LoRAFineTuneStatus:
        """Wait until the run reached its end, either way, and return its status.

        Args:
            seconds: longest wait.
            watch: called with every status that is seen.

        Raises:
            ClusterError: the time is over; the message says where the run is.
        """
        deadline = time.monotonic() + seconds
        while True:
            status = self.status()
            if watch is not None:
                watch(status)
            if status.finished:
                return status
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.name} did not finish in {seconds:.0f} s: {progress_line(status)}")
            time.sleep(_POLL_SECONDS)


def is_complete(status: LoRAFineTuneStatus) -> bool:
    """Tell whether the run ended well."""
    return status.holds(ConditionType.COMPLETE)


def is_adopted(status: LoRAFineTuneStatus) -> bool:
    """Tell whether the run took an adapter that existed already."""
    condition = status.condition(ConditionType.COMPLETE)
    return condition is not None and condition.reason == Reason.ADOPTED_EXISTING_ARTIFACT


def progress_line(status: LoRAFineTuneStatus) -> str:
    """Return phase, steps, loss and time left in one line."""
    parts = [str(status.phase) if status.phase else "not seen by the operator yet"]
    progress, metrics = status.progress, status.metrics
    if progress is not None and not status.finished:
        parts.append(f"step {progress.step} of {progress.total_steps} ({progress.percent} %)")
        if metrics is not None and metrics.train_loss is not None:
            parts.append(f"loss {metrics.train_loss}")
        if progress.eta:
            parts.append(f"{progress.eta} left")
    elif status.plan is not None and status.progress is None:
        parts.append(f"{status.plan.rows} rows, {status.plan.tokens} tokens, {status.plan.total_steps} steps")
    return ", ".join(parts)
