"""Stories of one run for tests of the pure core: API objects as data, decisions applied to them.

`given_finetune()` begins a story; `.decides()` asks the core and applies its answer to the objects, as the
operator's edge would; the other verbs say what the cluster does.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from lora_operator.core.decide import decide
from lora_operator.core.observe.observed import (
    FineTune,
    GpuMemory,
    IdenticalRun,
    Job,
    Observed,
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
from support.cluster_story import ClusterStory
from support.pod_reports import PREPARED
from support.specs import changed
from support.story import resource, settings

#: Conditions of a pod whose node stopped answering.
UNREACHABLE = [{"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": "False"}]


def given_finetune(changes: dict[str, Any] | None = None, **platform: Any) -> Story:
    """A resource that the operator has not seen yet; `changes` to the least spec, settings of the platform."""
    body = resource("triage", "11111111-2222-3333-4444-555555555555", changed(changes or {}))
    return Story(body, settings(**platform))


@dataclass
class Story(ClusterStory):
    """One run, its objects and the time."""

    warnings: Warnings | None = None
    services: frozenset[str] = frozenset()
    #: The NetworkPolicy of the namespace was made before, for another run.
    isolated: bool = True
    queue_position: int | None = None
    #: Other runs with the same identity.
    identical: tuple[IdenticalRun, ...] = ()
    #: The run that spec.from names.
    parent: FineTune | None = None
    parents_in_circle: bool = False
    #: Labels of the nodes of the cluster.
    nodes: tuple[dict[str, str], ...] = ()
    gpu_memory: dict[str, GpuMemory] = field(default_factory=dict)
    #: When the operator last read the run's Jobs and pods.
    read: float | None = None

    # ---- the operator

    def observed(self) -> Observed:
        """What the operator knows now."""
        return Observed(
            finetune=FineTune.from_dict(self.body),
            jobs=tuple(Job.from_dict(job) for job in self.seen_jobs().values()),
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
            parent=self.parent,
            parents_in_circle=self.parents_in_circle,
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
            self.warnings = Warnings(action.about, self.monotonic)
        elif isinstance(action, ReadObjects):
            self.read = self.monotonic + 0.001
            self.stale_pods = self.stale_jobs = None
        elif isinstance(action, ReadGpuMemory):
            self.gpu_memory[action.selector] = GpuMemory(self.monotonic, self._largest_gpu(action))

    def _largest_gpu(self, asked: ReadGpuMemory) -> int | None:
        wanted = dict(part.split("=") for part in asked.selector.split(",")[1:])
        matching = [labels for labels in self.nodes if labels.items() >= wanted.items() and asked.label in labels]
        return max((int(labels[asked.label]) << 20 for labels in matching), default=None)

    # ---- what a test asks

    @property
    def stages(self) -> list[str]:
        """Stages whose Jobs exist."""
        return [job["metadata"]["labels"]["lora-operator.dev/stage"] for job in self.jobs.values()]


def given_training(changes: dict[str, Any] | None = None, **platform: Any) -> Story:
    """A run whose train pod runs."""
    story = given_finetune(changes, **platform).decides().after(2)
    story.stage_succeeds("prepare", PREPARED).decides().after(2)
    return story.pod_runs("train").decides()
