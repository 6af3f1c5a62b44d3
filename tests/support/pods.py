"""Pods without a kubelet: what a pod does is written into its status, as its kubelet would."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes import client

from lora_contract import names
from lora_contract.exit_codes import ExitCode
from lora_contract.report import Report, ReportError, Timing, encode
from lora_contract.status import ArtifactStatus, MetricsStatus, PlanStatus
from lora_contract.times import format_time
from support.api_server import eventually


def run_id_of(run: str) -> str:
    """The identity of a run, which follows from its name here: runs of different names train different adapters."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, run).hex


RUN_ID = run_id_of("triage")
PLAN = PlanStatus(rows=100, validation_rows=10, test_rows=10, tokens=20000, target_tokens=8000, total_steps=40)
ARTIFACT = ArtifactStatus(
    uri=f"s3://adapters/team-a/triage/{RUN_ID}",
    manifest_digest="ab" * 32,
    size_bytes=123456,
    base_model="microsoft/Phi-4-mini-instruct",
    required_max_lora_rank=16,
)


def prepared(run: str = "triage") -> Report:
    """The report of a prepare pod that found everything in order."""
    return Report(stage="prepare", run_id=run_id_of(run), plan=PLAN)


def adopted() -> Report:
    """The report of a prepare pod that found the adapter published already."""
    return Report(stage="prepare", run_id=RUN_ID, plan=PLAN, adopted=True, artifact=ARTIFACT)


def trained() -> Report:
    """The report of a train pod that published an adapter."""
    return Report(
        stage="train",
        run_id=RUN_ID,
        artifact=ARTIFACT,
        metrics=MetricsStatus(train_loss="0.5", eval_loss="0.6", test_loss="0.6", base_test_loss="2.1"),
        timing=Timing(from_step=0, last_step=40, tokens_per_second=1000),
    )


def checked(*, drifted: bool) -> Report:
    """The report of a pod that compared the data with what the adapter was trained on."""
    return Report(stage="check", run_id=RUN_ID, dataset_digest="d" * 64, inputs_drifted=drifted)


def failed(stage: str, message: str, hint: str | None = None) -> Report:
    """The report of a pod that could not do its work."""
    return Report.model_validate({"stage": stage, "error": ReportError(message=message, hint=hint)})


@dataclass(frozen=True)
class Pods:
    """The pods of one namespace."""

    api: client.ApiClient
    namespace: str

    def all(self, run: str, stage: str) -> list[client.V1Pod]:
        """The pods of a stage of a run, oldest first."""
        selector = f"{names.LABEL_FINETUNE}={run},{names.LABEL_STAGE}={stage}"
        pods = client.CoreV1Api(self.api).list_namespaced_pod(self.namespace, label_selector=selector).items
        return sorted(pods, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name))

    def appears(self, run: str, stage: str) -> client.V1Pod:
        """The pod of a stage that has not started yet; waits for it."""
        found: list[client.V1Pod] = []

        def waiting() -> bool:
            found[:] = [pod for pod in self.all(run, stage) if pod.status.phase == "Pending"]
            return bool(found)

        eventually(f"a {stage} pod of {run}", waiting)
        return found[-1]

    def starts(self, pod: client.V1Pod) -> None:
        """The container runs."""
        self._write(pod, pod_status("Running", {"running": {"startedAt": _now()}}))

    def waits(self, pod: client.V1Pod, reason: str) -> None:
        """The container does not start yet, for this reason."""
        self._write(pod, pod_status("Pending", {"waiting": {"reason": reason}}))

    def ends(self, pod: client.V1Pod, report: Report | None, exit_code: int = ExitCode.DONE) -> None:
        """The container ended with a termination message and an exit code."""
        self._write(pod, ended(report, exit_code))

    def run(self, run: str, stage: str, report: Report | None, exit_code: int = ExitCode.DONE) -> client.V1Pod:
        """Wait for the pod of a stage, and let it start and end."""
        pod = self.appears(run, stage)
        self.starts(pod)
        self.ends(pod, report, exit_code)
        return pod

    def _write(self, pod: client.V1Pod, status: dict[str, Any]) -> None:
        client.CoreV1Api(self.api).patch_namespaced_pod_status(pod.metadata.name, self.namespace, status)


def pod_status(phase: str, state: dict[str, Any]) -> dict[str, Any]:
    """The patch of a pod whose one container is in a state."""
    container = {
        "name": names.CONTAINER,
        "image": "trainer",
        "imageID": "",
        "ready": "running" in state,
        "restartCount": 0,
        "state": state,
    }
    return {"status": {"phase": phase, "startTime": _now(), "containerStatuses": [container]}}


def ended(report: Report | None, exit_code: int) -> dict[str, Any]:
    """The patch of a pod whose container ended with a termination message and an exit code."""
    terminated = {
        "exitCode": int(exit_code),
        "reason": "Completed" if exit_code == 0 else "Error",
        "startedAt": _now(),
        "finishedAt": _now(),
        "message": "" if report is None else encode(report),
    }
    return pod_status("Succeeded" if exit_code == 0 else "Failed", {"terminated": terminated})


def _now() -> str:
    return format_time(datetime.now(UTC))
