"""What the demo and the end-to-end tests install: the S3 server, the operator's chart, a tenant's namespace."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_contract import names
from lora_demo.images import Images
from lora_demo.kubernetes import Kubernetes
from lora_demo.repository import REPOSITORY
from lora_demo.seaweedfs import Server

RELEASE = "lora-operator"
OPERATOR_NAMESPACE = "lora-system"
STORAGE_NAMESPACE = "seaweedfs"
TENANT_NAMESPACE = "team-a"
CHART = REPOSITORY / "charts" / "lora-operator"
#: Pod Security level that the demo's namespaces enforce.
RESTRICTED = "restricted"
_READY_SECONDS = 300


@dataclass(frozen=True)
class Platform:
    """One cluster with everything that a run needs."""

    kubernetes: Kubernetes
    images: Images

    @property
    def storage(self) -> Server:
        """The S3 server."""
        return Server(self.kubernetes, STORAGE_NAMESPACE)

    def start_storage(self) -> None:
        """Start the S3 server."""
        self.kubernetes.make_namespace(STORAGE_NAMESPACE, enforce=RESTRICTED)
        self.storage.start(self.images.seaweedfs.name)

    def install_operator(self, values: Mapping[str, Any] | None = None) -> None:
        """Install or upgrade the chart and wait until the operator is ready; `values` win over the demo's."""
        self.kubernetes.make_namespace(OPERATOR_NAMESPACE, enforce=RESTRICTED)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(_merged(self._values(), values or {}), file)
            file.flush()
            self.kubernetes.helm(
                "upgrade", "--install", RELEASE, str(CHART), f"--namespace={OPERATOR_NAMESPACE}",
                f"--values={file.name}", "--wait", f"--timeout={_READY_SECONDS}s",
            )  # fmt: skip

    def add_tenant(self, namespace: str = TENANT_NAMESPACE) -> None:
        """Make a namespace that enforces Pod Security `restricted`, with the tenant's key pair in it."""
        self.kubernetes.make_namespace(namespace, enforce=RESTRICTED)
        self.storage.give_access(namespace)

    @staticmethod
    def remove(kubernetes: Kubernetes, namespaces: tuple[str, ...] = (TENANT_NAMESPACE,)) -> None:
        """Remove everything, the definitions and with them all runs and sweeps included."""
        for namespace in namespaces:
            kubernetes.delete_namespace(namespace)
        if kubernetes.succeeds("get", "namespace", OPERATOR_NAMESPACE):
            kubernetes.helm("uninstall", RELEASE, f"--namespace={OPERATOR_NAMESPACE}", "--ignore-not-found")
        for plural in (names.SWEEP_PLURAL, names.PLURAL):
            kubernetes.run("delete", "crd", f"{plural}.{names.GROUP}", "--ignore-not-found")
        for namespace in (OPERATOR_NAMESPACE, STORAGE_NAMESPACE):
            kubernetes.delete_namespace(namespace)

    def _values(self) -> dict[str, Any]:
        return {
            "image": _image(self.images.operator.name),
            "trainer": {
                "image": _image(self.images.trainer.name),
                "prepareImage": _image(self.images.prepare.name),
                "prepare": {"cpu": "100m", "memory": "2Gi"},
                # The GPU of the demo's cluster exists in name only.
                "allowCpu": True,
            },
            "storage": {"defaultEndpoint": self.storage.endpoint},
        }


def manifest(name: str) -> Path:
    """Return the path of an example."""
    return REPOSITORY / "examples" / name


def _image(name: str) -> dict[str, str]:
    repository, _, tag = name.rpartition(":")
    return {"repository": repository, "tag": tag}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        result[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, Mapping) else value
    return result
