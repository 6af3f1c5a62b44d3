"""A thin wrapper of kubectl."""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_cluster.commands import run, succeeds
from lora_cluster.tools import binary


class Cluster(ABC):
    """What kubectl is asked for, whichever kubectl and cluster it is."""

    @abstractmethod
    def command(self, *words: str) -> list[str | Path]:
        """Return the full command line."""

    def run(self, *words: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it prints; raises `ClusterError` when it fails."""
        return run(self.command(*words), stdin=stdin)

    def succeeds(self, *words: str) -> bool:
        """Tell whether the command succeeds."""
        return succeeds(self.command(*words))

    def get(self, *words: str) -> dict[str, Any]:
        """Return the answer of `kubectl get` as an object."""
        answer: dict[str, Any] = json.loads(self.run("get", *words, "--output=json"))
        return answer

    def apply_text(self, manifest: str) -> None:
        """Apply a manifest server-side."""
        self.run("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=manifest)


@dataclass(frozen=True)
class Kubectl(Cluster):
    """Commands against the API server of one kubeconfig."""

    kubeconfig: Path

    def command(self, *words: str) -> list[str | Path]:
        """Return the full command line."""
        return [binary("kubectl"), f"--kubeconfig={self.kubeconfig}", *words]

    def ready(self) -> bool:
        """Tell whether the API server says it is ready."""
        return self.succeeds("get", "--raw=/readyz", "--request-timeout=2s")
