"""What the cluster does in the story of a run: Jobs and pods begin and end, Kueue gives quota, pods report."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Self

from lora_contract.progress import Metric, TrainerStatus
from lora_contract.report import Report, encode
from lora_contract.status import LoRAFineTuneStatus
from lora_operator.core.observe.observed import Progress
from lora_operator.core.run.decision import Action
from support.story import BaseStory


@dataclass
class ClusterStory(BaseStory[LoRAFineTuneStatus, Action]):
    """One run, and the objects that belong to it."""

    status_model = LoRAFineTuneStatus

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    workloads: dict[str, dict[str, Any]] = field(default_factory=dict)
    progress: Progress | None = None
    kueue_installed: bool = False
    #: The pods as the operator saw them last, while no watch tells it of changes.
    stale_pods: dict[str, dict[str, Any]] | None = None
    #: The same of its Jobs.
    stale_jobs: dict[str, dict[str, Any]] | None = None

    def job(self, stage: str) -> dict[str, Any]:
        """The newest Job of a stage."""
        return next(
            j for j in reversed(self.jobs.values()) if j["metadata"]["labels"]["lora-operator.dev/stage"] == stage
        )

    def pods_are_not_watched(self) -> Self:
        """The watch of pods breaks: the operator knows no more of them until it asks."""
        self.stale_pods = copy.deepcopy(self.pods)
        return self

    def jobs_are_not_watched(self) -> Self:
        """The watch of Jobs breaks: the operator knows no more of them until it asks."""
        self.stale_jobs = copy.deepcopy(self.jobs)
        return self

    def seen_pods(self) -> dict[str, dict[str, Any]]:
        """The pods as the operator knows them."""
        return self.pods if self.stale_pods is None else self.stale_pods

    def seen_jobs(self) -> dict[str, dict[str, Any]]:
        """The Jobs as the operator knows them."""
        return self.jobs if self.stale_jobs is None else self.stale_jobs

    def pod_of(self, stage: str, name: str | None = None, **status: Any) -> Self:
        """A pod of a stage appears, or its status changes."""
        job = self.job(stage)["metadata"]["name"]
        name = name or f"{job}-0-abcde"
        known = self.pods.get(name)
        metadata = known["metadata"] if known else {
            "name": name,
            "uid": name,
            "creationTimestamp": self.time,
            "labels": {
                "batch.kubernetes.io/job-name": job,
                "batch.kubernetes.io/controller-uid": self.job(stage)["metadata"]["uid"],
                "batch.kubernetes.io/job-completion-index": name.removeprefix(f"{job}-").partition("-")[0],
            },
        }  # fmt: skip
        self.pods[name] = {
            "metadata": metadata,
            "spec": {"nodeName": "node-1"},
            "status": {"phase": "Pending"} | status,
        }
        return self

    def pod_waits(self, stage: str, reason: str, message: str) -> Self:
        """The kubelet cannot start the container."""
        return self.pod_of(stage, containerStatuses=_container({"waiting": {"reason": reason, "message": message}}))

    def pod_is_unschedulable(self, stage: str, message: str) -> Self:
        """No node takes the pod."""
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        return self.pod_of(stage, conditions=[condition])

    def pod_runs(self, stage: str, name: str | None = None) -> Self:
        """The container runs."""
        state = {"running": {"startedAt": self.time}}
        return self.pod_of(stage, name, phase="Running", containerStatuses=_container(state))

    def pod_ends(
        self, stage: str, code: int, report: Report | None = None, name: str | None = None, **more: Any
    ) -> Self:
        """The container ends."""
        name = name or f"{self.job(stage)['metadata']['name']}-0-abcde"
        before = self.pods.get(name)
        started = self.time
        if before is not None:
            running = before["status"].get("containerStatuses", [{}])[0].get("state", {}).get("running", {})
            started = running.get("startedAt", self.time)
        ended = {
            "exitCode": code,
            "reason": more.pop("reason", "Completed" if code == 0 else "Error"),
            "message": encode(report) if report else "",
            "startedAt": started,
            "finishedAt": self.time,
        }
        phase = "Succeeded" if code == 0 else "Failed"
        return self.pod_of(stage, name, phase=phase, containerStatuses=_container({"terminated": ended}), **more)

    def pod_is_stopped(self, stage: str, name: str | None = None) -> Self:
        """Somebody deletes the pod: its container gets SIGTERM and still runs."""
        self.pods[name or f"{self.job(stage)['metadata']['name']}-0-abcde"]["metadata"]["deletionTimestamp"] = self.time
        return self

    def pod_is_gone(self, stage: str, name: str | None = None) -> Self:
        """The pod object is deleted; its last state is still known."""
        self.gone.add(name or f"{self.job(stage)['metadata']['name']}-0-abcde")
        return self

    def job_ends(self, stage: str, kind: str = "Complete", reason: str = "", failed: int = 0) -> Self:
        """The Job controller gives its verdict."""
        condition = {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": self.time}
        status: dict[str, Any] = {"conditions": [condition], "failed": failed}
        if kind == "Complete":
            status["completionTime"] = self.time
        self.job(stage)["status"] = status
        return self

    def stage_succeeds(self, stage: str, report: Report) -> Self:
        """Pod and Job end well."""
        return self.pod_ends(stage, 0, report).job_ends(stage)

    def job_is_deleted(self, name: str) -> Self:
        """The Job and its pods are gone."""
        del self.jobs[name]
        for pod, body in self.pods.items():
            if body["metadata"]["labels"]["batch.kubernetes.io/job-name"] == name:
                self.gone.add(pod)
        return self

    def workload(self, *conditions: dict[str, Any], active: bool = True) -> Self:
        """Kueue has, or changes, the Workload of the train Job."""
        job = self.job("train")["metadata"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["name"], "uid": job["uid"], "controller": True}
        self.kueue_installed = True
        self.workloads["job-triage"] = {
            "metadata": {"name": "job-triage", "namespace": job["namespace"], "ownerReferences": [owner]},
            "spec": {"active": active, "queueName": "team-a"},
            "status": {"conditions": list(conditions)},
        }
        return self

    def kueue_admits(self) -> Self:
        """Quota is given and the Job let go."""
        self.job("train")["spec"]["suspend"] = False
        return self.workload(workload_condition("QuotaReserved"), workload_condition("Admitted"))

    def reports_progress(self, step: int, *, pod: str | None = None, **metrics: float) -> Self:
        """The train pod posts its progress."""
        said = {"step": step, "total_steps": 24} | metrics
        status = TrainerStatus(
            progress_percentage=100 * step // 24,
            estimated_remaining_seconds=130,
            metrics=[Metric(name=name, value=str(value)) for name, value in said.items()],
        )
        self.progress = Progress(
            status, self.now + self.skew, pod or f"{self.job('train')['metadata']['name']}-0-abcde"
        )
        return self


def workload_condition(kind: str, status: str = "True", reason: str = "", message: str = "") -> dict[str, Any]:
    """A condition of a Workload."""
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _container(state: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "trainer", "state": state}]
