"""One real API server for all chaos: what can be told side by side is told side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from lora_cluster.control_plane import ControlPlane
from support import api_server
from support.chaos.scene import Site
from support.chaos.site import site as site_of


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd, kube-apiserver and kube-controller-manager with the CRDs."""
    with api_server.running(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """That API server with pretended nodes and a pretended Kueue."""
    async with site_of(control_plane, tmp_path_factory.mktemp("scenes")) as made:
        yield made
