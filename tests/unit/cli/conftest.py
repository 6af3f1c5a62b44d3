"""The command line before a cluster that only answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Plugin
from support.cli_demo import demo
from support.stub_cluster import StubCluster, serving


@pytest.fixture
def cluster() -> Iterator[StubCluster]:
    """Runs of two namespaces: complete, running, queued, failed."""
    with serving(demo()) as served:
        yield served


@pytest.fixture
def kubectl_lora(cluster: StubCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """The command line, with the demo's clock."""
    return Plugin(monkeypatch, cluster.write_kubeconfig(tmp_path / "kubeconfig"))
