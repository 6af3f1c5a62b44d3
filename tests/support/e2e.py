"""The whole product on a real node: one cluster for all end-to-end tests, and runs that are small enough for them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_cluster import cluster
from lora_cluster.commands import wait_until
from lora_contract import layout, names, uri
from lora_contract.status import LoRAFineTuneStatus
from lora_demo import images, seaweedfs, up
from lora_demo.kubernetes import Kubernetes
from lora_demo.platform import STORAGE_NAMESPACE, Platform
from lora_demo.run import Run

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CLUSTER = "e2e"
NAMESPACE = "e2e"
#: An address of the cluster at which nothing answers, and which the platform allows.
SILENT_ENDPOINT = f"http://silent.{STORAGE_NAMESPACE}.svc.cluster.local:8333"
#: Deadlines are several times what a quiet machine needs.
TRAINED_SECONDS = 480
#: So many that a run lasts longer than it takes to see its progress and to stop it, also on a fast machine.
STEPS = 60
REACTION_SECONDS = 120

_SPEC: dict[str, Any] = {
    "model": {"id": "HuggingFaceTB/SmolLM2-135M-Instruct", "source": "s3://models/smollm2-135m-instruct/"},
    "dataset": {
        "uri": "s3://datasets/triage.jsonl",
        "systemPrompt": "Fill in the triage form.",
        "split": {"validation": 0.02, "test": 0.02},
    },
    "lora": {"r": 8, "alpha": 16, "dropout": 0.0},
    "training": {
        "maxSteps": STEPS,
        "maxLength": 128,
        "effectiveBatchSize": 2,
        "learningRate": 0.001,
        "evalSteps": 20,
        "saveSteps": 4,
    },
    "evaluation": {"samples": 2, "maxNewTokens": 24},
    "output": {"uri": "s3://adapters/e2e/"},
    "storage": {"secretName": seaweedfs.SECRET},
    "compute": {"gpus": 1, "cpu": "500m", "memory": "4Gi"},
}


@dataclass(frozen=True)
class Rig:
    """The cluster, and a client of its S3 server that may do anything."""

    platform: Platform
    s3: S3Client

    @property
    def kubernetes(self) -> Kubernetes:
        """The cluster."""
        return self.platform.kubernetes

    def create(self, name: str, changes: Mapping[str, Any] | None = None) -> Run:
        """Create a resource: the small recipe with `changes`, a tree in which None removes a field."""
        self.kubernetes.apply([resource(name, changes)])
        return Run(self.kubernetes, NAMESPACE, name)

    def wait(
        self, run: Run, what: str, holds: Callable[[LoRAFineTuneStatus], bool], seconds: float = REACTION_SECONDS
    ) -> LoRAFineTuneStatus:
        """Wait until `holds(status)`; raises early when the run ended otherwise."""

        def reached() -> bool:
            status = run.status()
            if holds(status):
                return True
            assert not status.finished, f"{run.name} ended while waiting for {what}: {status.error}"
            return False

        wait_until(f"{run.name}: {what}", reached, timeout=seconds)
        return run.status()

    def put(self, address: str, content: str) -> None:
        """Write an object as the platform's administrator."""
        where = uri.parse(address)
        self.s3.put_object(Bucket=where.bucket, Key=where.key, Body=content.encode())

    def files(self, address: str) -> dict[str, int]:
        """Key and size of every object below an address."""
        where = uri.parse(address)
        return seaweedfs.sizes(self.s3, where.bucket, f"{where.key.rstrip('/')}/")

    def manifest(self, status: LoRAFineTuneStatus) -> dict[str, Any]:
        """The manifest of a published adapter."""
        assert status.artifact is not None
        where = uri.parse(status.artifact.uri).join(layout.MANIFEST)
        content = self.s3.get_object(Bucket=where.bucket, Key=where.key)["Body"].read()
        manifest: dict[str, Any] = json.loads(content)
        return manifest

    def download(self, address: str, folder: Path) -> Path:
        """Copy every object below an address into a folder."""
        where = uri.parse(address)
        for key in self.files(address):
            self.s3.download_file(where.bucket, key, str(folder / key.rpartition("/")[2]))
        return folder

    def pods(self, run: Run, stage: str) -> list[dict[str, Any]]:
        """The pods of a stage of a run, oldest first."""
        selector = f"--selector={names.LABEL_FINETUNE}={run.name},{names.LABEL_STAGE}={stage}"
        found = self.kubernetes.get("pods", f"--namespace={NAMESPACE}", selector)["items"]
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def nothing_left(self, run: Run) -> bool:
        """Whether neither Job nor pod of a run exists."""
        selector = f"--selector={names.LABEL_FINETUNE}={run.name}"
        return not self.kubernetes.get("jobs,pods", f"--namespace={NAMESPACE}", selector)["items"]


def resource(name: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A LoRAFineTune: the small recipe with `changes`."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": _changed(_SPEC, changes or {}),
    }


@contextmanager
def rig() -> Iterator[Rig]:
    """A fresh cluster with everything a run needs, for the time of the block; what a dead one left is cleared."""
    cluster.down(CLUSTER)
    built = images.ensure(seaweedfs.program())
    try:
        started = cluster.up(CLUSTER, nodes=1, gpus=1)
        cluster.load(CLUSTER, built.archives)
        platform = Platform(Kubernetes(started.kubeconfig), built)
        with ThreadPoolExecutor() as side_by_side:
            filled = side_by_side.submit(_start_storage, platform)
            side_by_side.submit(_install_operator, platform).result()
        yield Rig(platform, filled.result())
    finally:
        cluster.down(CLUSTER)


def _start_storage(platform: Platform) -> S3Client:
    """Start the S3 server with model and data in it; a client of it."""
    platform.start_storage()
    s3 = seaweedfs.client(platform.storage.pod_endpoint())
    up.upload_model(s3)
    up.upload_data(s3)
    return s3


def _install_operator(platform: Platform) -> None:
    platform.install_operator(
        {
            "trainer": {"unavailableBudgetSeconds": 5},
            "storage": {"allowedEndpoints": [SILENT_ENDPOINT]},
        }
    )
    platform.add_tenant(NAMESPACE)


def _changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(dict(base))
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = _changed(result[key], value)
        else:
            result[key] = value
    return result
