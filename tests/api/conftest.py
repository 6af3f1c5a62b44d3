"""One real API server for all tests of this folder, and a namespace of its own for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes import client

from lora_cluster.control_plane import ControlPlane
from lora_cluster.kubectl import Kubectl
from support import api_server
from support.api_server import FineTunes
from support.sweeps import Sweeps


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd, kube-apiserver and kube-controller-manager with the CRD; built into the cache where missing."""
    with api_server.running(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture(scope="session")
def kubectl(control_plane: ControlPlane) -> Kubectl:
    """The administrator's kubectl."""
    return Kubectl(control_plane.kubeconfig)


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> client.ApiClient:
    """The administrator's Python client."""
    return api_server.connect(control_plane)


@pytest.fixture
def namespace(api: client.ApiClient) -> str:
    """A namespace for one test."""
    return api_server.make_namespace(api)


@pytest.fixture
def finetunes(api: client.ApiClient, namespace: str) -> FineTunes:
    """The LoRAFineTunes of the test's namespace."""
    return FineTunes(api, namespace)


@pytest.fixture
def sweeps(api: client.ApiClient, namespace: str) -> Sweeps:
    """The LoRASweeps of the test's namespace."""
    return Sweeps(api, namespace)
