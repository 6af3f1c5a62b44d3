"""A cluster through kubectl and Helm: the demo's own, or that of the current context."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_cluster.commands import run
from lora_cluster.errors import ClusterError
from lora_cluster.kubectl import Cluster
from lora_cluster.tools import binary


@dataclass(frozen=True)
class Kubernetes(Cluster):
    """Commands against one cluster. Without a kubeconfig the user's own kubectl, Helm and context are used."""

    kubeconfig: Path | None = None

    def command(self, *words: str, program: str = "kubectl") -> list[str | Path]:
        """Return a full command line."""
        if self.kubeconfig is not None:
            return [binary(program), f"--kubeconfig={self.kubeconfig}", *words]
        if shutil.which(program) is None:
            raise ClusterError(f"{program} is not installed; it is needed for the current context")
        return [program, *words]

    def offers(self, resource: str) -> bool:
        """Tell whether a node offers a resource such as `nvidia.com/gpu`."""
        nodes = self.get("nodes")["items"]
        return any(node["status"].get("allocatable", {}).get(resource, "0") != "0" for node in nodes)

    def apply(self, objects: Sequence[dict[str, Any]]) -> None:
        """Apply objects."""
        documents = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.apply_text(json.dumps(documents))

    def make_namespace(self, name: str, *, enforce: str = "") -> None:
        """Make a namespace, with a Pod Security level to enforce if one is given."""
        labels = {"pod-security.kubernetes.io/enforce": enforce} if enforce else {}
        self.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}])

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace with all that is in it, and wait for that; one that is not there is no error."""
        self.run("delete", "namespace", name, "--ignore-not-found", "--timeout=180s")

    def wait_rollout(self, deployment: str, *, namespace: str, seconds: int) -> None:
        """Wait until every replica of a Deployment is available."""
        self.run("rollout", "status", f"deployment/{deployment}", f"--namespace={namespace}", f"--timeout={seconds}s")

    def helm(self, *words: str) -> str:
        """Run Helm and return what it prints; raises `ClusterError` when it fails."""
        return run(self.command(*words, program="helm"))

    @contextmanager
    def forwarded(self, service: str, *, namespace: str, port: int) -> Iterator[str]:
        """Forward a Service's port to an address of this machine, for the time of the block."""
        command = self.command("port-forward", f"service/{service}", f":{port}", f"--namespace={namespace}")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            first = process.stdout.readline() if process.stdout else ""
            local = first.partition("127.0.0.1:")[2].split(" ")[0]
            if not local:
                raise ClusterError(f"cannot forward a port of service {service} in {namespace}: {first.strip()}")
            yield f"http://127.0.0.1:{local}"
        finally:
            process.terminate()
            process.wait()
