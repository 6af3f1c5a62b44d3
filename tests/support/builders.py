"""Stories of one run for tests of the pure core: API objects as data, decisions applied to them.

`given_finetune()` begins a story; `.decides()` asks the core and applies its answer to the objects, as the
operator's edge would; the other verbs say what the cluster does.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Self

from lora_contract.progress import Metric, TrainerStatus
from lora_contract.report import Report, encode
from lora_contract.status import LoRAFineTuneStatus
from lora_operator.core.decide import decide
from lora_operator.core.observe.observed import (
    FineTune,
    GpuMemory,
    IdenticalRun,
    Job,
    Observed,
    Progress,
    Warnings,
    Workload,
)
from lora_operator.core.observe.pod import Pod
from lora_operator.core.run.decision import (
    Action,
    CreateGroupPolicy,
    CreateJob,
    CreateService,
    DeleteJob,
    IsolatePods,
    ReadGpuMemory,
    ReadObjects,
    ReadWarnings,
    RunDecision,
    SetWorkloadActive,
    SuspendJob,
)
from support.pod_reports import PREPARED
from support.specs import changed
from support.story import BaseStory, resource, settings

#: Conditions of a pod whose node stopped answering.
UNREACHABLE = [{"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": "False"}]


def given_finetune(changes: dict[str, Any] | None = None, **platform: Any) -> Story:
    """A resource that the operator has not seen yet; `changes` to the least spec, settings of the platform."""
    body = resource("triage", "11111111-2222-3333-4444-555555555555", changed(changes or {}))
    return Story(body, settings(**platform))


@dataclass
class Story(BaseStory[LoRAFineTuneStatus, Action]):
    """One run, its objects and the time."""

    status_model = LoRAFineTuneStatus

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    workloads: dict[str, dict[str, Any]] = field(default_factory=dict)
    progress: Progress | None = None
    warnings: Warnings | None = None
    kueue_installed: bool = False
    services: frozenset[str] = frozenset()
    #: The NetworkPolicy of the namespace was made before, for another run.
    isolated: bool = True
    queue_position: int | None = None
    #: Other runs with the same identity.
    identical: tuple[IdenticalRun, ...] = ()
    #: Labels of the nodes of the cluster.
    nodes: tuple[dict[str, str], ...] = ()
    gpu_memory: dict[str, GpuMemory] = field(default_factory=dict)
    #: When the operator last read the run's Jobs and pods.
    read: float | None = None
    #: The pods as the operator saw them last, while no watch tells it of changes.
    stale_pods: dict[str, dict[str, Any]] | None = None

    # ---- the operator

    def observed(self) -> Observed:
        """What the operator knows now."""
        return Observed(
            finetune=FineTune.from_dict(self.body),
            jobs=tuple(Job.from_dict(job) for job in self.jobs.values()),
            pods=tuple(Pod.from_dict(pod, gone=name in self.gone) for name, pod in self.seen_pods().items()),
            workloads=tuple(Workload.from_dict(workload) for workload in self.workloads.values()),
            progress=self.progress,
            create_error=self.create_error,
            warnings=self.warnings,
            kueue_installed=self.kueue_installed,
            services=self.services,
            isolated=self.isolated,
            queue_position=self.queue_position,
            identical=self.identical,
            gpu_memory=self.gpu_memory,
            monotonic=self.monotonic,
            first_seen=self.first_seen,
            read=self.read,
        )

    def asked(self) -> RunDecision:
        """What the core would decide now; nothing is applied."""
        return decide(self.observed(), self.settings, self.now + self.skew)

    def apply(self, action: Action) -> None:
        """What the operator's edge would do."""
        if isinstance(action, CreateJob):
            self.writes += 1
            assert action.name not in self.jobs, "the Job exists already"
            job = copy.deepcopy(action.manifest)
            job["metadata"] |= {"uid": f"uid-{len(self.jobs)}-{self.now.timestamp()}", "creationTimestamp": self.time}
            self.jobs[action.name] = job
        elif isinstance(action, CreateService):
            self.writes += 1
            self.services |= {action.job_uid}
        elif isinstance(action, CreateGroupPolicy):
            self.writes += 1
        elif isinstance(action, IsolatePods):
            self.writes += 1
            self.isolated = True
        elif isinstance(action, DeleteJob):
            self.job_is_deleted(action.name)
        elif isinstance(action, SuspendJob):
            self.jobs[action.name]["spec"]["suspend"] = action.suspend
        elif isinstance(action, SetWorkloadActive):
            self.workloads[action.name]["spec"]["active"] = action.active
        else:
            self._read(action)

    def _read(self, action: Action) -> None:
        if isinstance(action, ReadWarnings):
            self.warnings = Warnings(action.job, self.monotonic)
        elif isinstance(action, ReadObjects):
            self.read = self.monotonic + 0.001
            self.stale_pods = None
        elif isinstance(action, ReadGpuMemory):
            self.gpu_memory[action.selector] = GpuMemory(self.monotonic, self._largest_gpu(action))

    def _largest_gpu(self, asked: ReadGpuMemory) -> int | None:
        wanted = dict(part.split("=") for part in asked.selector.split(",")[1:])
        matching = [labels for labels in self.nodes if labels.items() >= wanted.items() and asked.label in labels]
        return max((int(labels[asked.label]) << 20 for labels in matching), default=None)

    # ---- what a test asks

    def job(self, stage: str) -> dict[str, Any]:
        """The newest Job of a stage."""
        return next(
            j for j in reversed(self.jobs.values()) if j["metadata"]["labels"]["lora-operator.dev/stage"] == stage
        )

    @property
    def stages(self) -> list[str]:
        """Stages whose Jobs exist."""
        return [job["metadata"]["labels"]["lora-operator.dev/stage"] for job in self.jobs.values()]

    # ---- what the cluster does

    def pods_are_not_watched(self) -> Self:
        """The watch of pods breaks: the operator knows no more of them until it asks."""
        self.stale_pods = copy.deepcopy(self.pods)
        return self

    def seen_pods(self) -> dict[str, dict[str, Any]]:
        """The pods as the operator knows them."""
        return self.pods if self.stale_pods is None else self.stale_pods

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


def given_training(changes: dict[str, Any] | None = None, **platform: Any) -> Story:
    """A run whose train pod runs."""
    story = given_finetune(changes, **platform).decides().after(2)
    story.stage_succeeds("prepare", PREPARED).decides().after(2)
    return story.pod_runs("train").decides()
