"""A cluster of two nodes for tests of queues and failures, and runs of a random model that last seconds."""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_cluster import cluster
from lora_cluster.commands import wait_until
from lora_contract import layout, names, uri
from lora_contract.status import AttemptStatus, LoRAFineTuneStatus
from lora_demo import images, seaweedfs
from lora_demo.kubernetes import Kubernetes
from lora_demo.platform import Platform
from lora_demo.run import Run
from support.prepared_data import chat, lines
from support.specs import changed

NODES = 2
#: Set to keep the cluster for the next session of tests, which then starts within seconds.
KEEP = "KEEP_CLUSTER"
#: Deadlines are several times what a quiet machine needs.
TRAINED_SECONDS = 300
STEP_SECONDS = 120
#: How long a failure may take to be readable on the object once the cluster knows of it.
TOLD_SECONDS = 15

_SPEC: dict[str, Any] = {
    "model": {"id": "tests/tiny", "source": "s3://models/tiny/"},
    "dataset": {"uri": "s3://datasets/tiny.jsonl", "split": {"validation": 0.1, "test": 0.1}},
    "quantization": {"type": "none"},
    "lora": {"r": 4, "alpha": 8, "dropout": 0.0},
    "training": {
        "maxSteps": 10,
        "maxLength": 128,
        "effectiveBatchSize": 4,
        "learningRate": 0.001,
        "evalSteps": 1000,
        "saveSteps": 1000,
    },
    "evaluation": {"samples": 1, "maxNewTokens": 4},
    "output": {"uri": "s3://adapters/tiny/"},
    "storage": {"secretName": seaweedfs.SECRET},
    "compute": {"gpus": 1, "cpu": "100m", "memory": "3Gi"},
    "retries": 1,
}


@dataclass(frozen=True)
class TinyCluster:
    """The cluster with S3 server and operator, and one namespace to work in."""

    name: str
    platform: Platform
    namespace: str

    @property
    def kubernetes(self) -> Kubernetes:
        """The cluster."""
        return self.platform.kubernetes

    def install_operator(self, trainer: Mapping[str, Any] | None = None) -> None:
        """Install or change the operator, with changes to the chart's `trainer`; it stays on the first node."""
        first = {"kubernetes.io/hostname": "node1"}
        values = {"nodeSelector": first, "trainer": {"unavailableBudgetSeconds": 10, **(trainer or {})}}
        self.platform.install_operator(values)

    def create(self, name: str, changes: Mapping[str, Any] | None = None) -> Run:
        """Create a run. `changes` names fields by their path, such as `training.maxSteps`."""
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": changed({"runToken": uuid.uuid4().hex, **(changes or {})}, _SPEC),  # adopts nothing
        }
        self.kubernetes.apply([body])
        return Run(self.kubernetes, self.namespace, name)

    def delete(self, run: Run) -> None:
        """Delete a run and wait until its Jobs and pods are gone."""
        self.kubernetes.run("delete", names.PLURAL, run.name, f"--namespace={self.namespace}", "--ignore-not-found")
        wait_until(f"nothing is left of {run.name}", lambda: not self.left_of(run), timeout=STEP_SECONDS)

    def left_of(self, run: Run) -> list[dict[str, Any]]:
        """Jobs and pods of a run."""
        return self.of_run("jobs,pods", run)

    def of_run(self, kinds: str, run: Run) -> list[dict[str, Any]]:
        """The objects of a run, oldest first."""
        selector = f"--selector={names.LABEL_FINETUNE}={run.name}"
        found = self.kubernetes.get(kinds, f"--namespace={self.namespace}", selector)["items"]
        return sorted(found, key=lambda each: each["metadata"]["creationTimestamp"])

    def train_pods(self, run: Run) -> list[dict[str, Any]]:
        """The train pods of a run, oldest first."""
        pods = self.of_run("pods", run)
        return [pod for pod in pods if pod["metadata"]["labels"][names.LABEL_STAGE] == names.STAGE_TRAIN]

    def train_pod(self, run: Run) -> str:
        """Name of the newest train pod."""
        return str(self.train_pods(run)[-1]["metadata"]["name"])

    def set_suspend(self, run: Run, suspend: bool) -> None:
        """Write spec.suspend."""
        patch = f'{{"spec":{{"suspend":{str(suspend).lower()}}}}}'
        where = f"--namespace={self.namespace}"
        self.kubernetes.run("patch", names.PLURAL, run.name, where, "--type=merge", f"--patch={patch}")

    def manifest(self, status: LoRAFineTuneStatus) -> dict[str, Any]:
        """The manifest of a published adapter."""
        assert status.artifact is not None
        where = uri.parse(status.artifact.uri).join(layout.MANIFEST)
        s3 = seaweedfs.client(self.platform.storage.pod_endpoint())
        manifest: dict[str, Any] = json.loads(s3.get_object(Bucket=where.bucket, Key=where.key)["Body"].read())
        return manifest

    def events(self, run: Run) -> list[str]:
        """Reasons of the Events about a run, oldest first."""
        selector = f"--field-selector=involvedObject.kind={names.KIND},involvedObject.name={run.name}"
        found = self.kubernetes.get("events", f"--namespace={self.namespace}", selector)["items"]
        return [str(event["reason"]) for event in sorted(found, key=lambda event: str(event.get("eventTime")))]


def wait_status(
    run: Run, what: str, holds: Callable[[LoRAFineTuneStatus], bool], seconds: float = STEP_SECONDS
) -> LoRAFineTuneStatus:
    """Wait until `holds(status)`, and return that status; raises early when the run ended otherwise."""
    seen: list[LoRAFineTuneStatus] = []

    def reached() -> bool:
        status = run.status()
        if holds(status):
            seen.append(status)
            return True
        assert not status.finished, f"{run.name} ended while waiting for {what}: {status.error or status.phase}"
        return False

    wait_until(f"{run.name}: {what}", reached, timeout=seconds)
    return seen[0]


def ready(status: LoRAFineTuneStatus) -> tuple[str, str]:
    """Reason and message of the condition Ready."""
    return next(((c.reason, c.message) for c in status.conditions if c.type == "Ready"), ("", ""))


def has_reason(reason: str) -> Callable[[LoRAFineTuneStatus], bool]:
    """Whether Ready has a reason."""
    return lambda status: ready(status)[0] == reason


def at_step(step: int) -> Callable[[LoRAFineTuneStatus], bool]:
    """Whether training got that far."""
    return lambda status: status.progress is not None and status.progress.step >= step


def train_attempts(status: LoRAFineTuneStatus) -> list[AttemptStatus]:
    """The attempts that trained."""
    return [attempt for attempt in status.attempts if attempt.stage == "train"]


@contextmanager
def tiny_cluster(name: str) -> Iterator[TinyCluster]:
    """A cluster with everything a run needs but Kueue, for the time of the block."""
    keep = bool(os.environ.get(KEEP))
    if not keep:
        cluster.down(name)
    built = images.ensure(seaweedfs.program())
    try:
        # What serves the runs lies on the first node, so that the second may die.
        started = cluster.up(name, nodes=1, gpus=1)
        cluster.load(name, built.archives)
        platform = Platform(Kubernetes(started.kubeconfig), built)
        platform.start_storage()
        place = TinyCluster(name, platform, name)
        place.install_operator()
        s3 = seaweedfs.client(platform.storage.pod_endpoint())
        seaweedfs.make_buckets(s3)
        _upload_inputs(s3)
        platform.add_tenant(name)
        cluster.up(name, nodes=NODES, gpus=1)
        cluster.load(name, built.archives)
        yield place
    finally:
        if not keep:
            cluster.down(name)


def _upload_inputs(s3: Any) -> None:
    from support.tiny_models import save_tiny  # noqa: PLC0415 - torch, which most of these tests do not need

    with tempfile.TemporaryDirectory() as folder:
        seaweedfs.upload_folder(s3, save_tiny(Path(folder)), seaweedfs.MODELS, "tiny/")
    rows = lines(chat(f"Question {number}?", f"Answer {number}.") for number in range(60))
    s3.put_object(Bucket=seaweedfs.DATASETS, Key="tiny.jsonl", Body=rows)
