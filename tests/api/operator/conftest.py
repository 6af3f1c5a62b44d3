"""Operators that look after no more than the namespaces of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from lora_cluster.control_plane import ControlPlane
from support import api_server, operator
from support.operator import StartOperator
from support.progress_endpoint import Endpoint, serve
from support.runs import Runs

#: More than there are tests that ask for `running_operator`.
_SERVED = 24


@pytest.fixture(scope="session")
def operator_kubeconfig(
    api: client.ApiClient, control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A kubeconfig with the rights of the operator's ServiceAccount."""
    operator.install(api)
    return operator.write_kubeconfig(api, control_plane, tmp_path_factory.mktemp("operator") / "kubeconfig")


@pytest.fixture
def start_operator(operator_kubeconfig: Path, tmp_path: Path, namespace: str) -> Iterator[StartOperator]:
    """Starts an operator for the test's namespace, as often as it is called."""
    with operator.operators(operator_kubeconfig, tmp_path, namespace) as start:
        yield start


@pytest.fixture(scope="session")
def served_namespaces(
    api: client.ApiClient, operator_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Iterator[str]]:
    """Namespaces of one operator that all tests share which leave it alone: a start takes seconds."""
    served = [api_server.make_namespace(api) for _ in range(_SERVED)]
    with operator.operators(operator_kubeconfig, tmp_path_factory.mktemp("shared"), ",".join(served)) as start:
        start()
        yield iter(served)


@pytest.fixture
def namespace(request: pytest.FixtureRequest, api: client.ApiClient) -> str:
    """A namespace for one test; of the shared operator where the test asks for that."""
    if "running_operator" not in request.fixturenames:
        return api_server.make_namespace(api)
    served: Iterator[str] = request.getfixturevalue("served_namespaces")
    return next(served)


@pytest.fixture
def running_operator(namespace: str) -> None:
    """The shared operator looks after the test's namespace."""


@pytest.fixture
def endpoint(api: client.ApiClient, start_operator: StartOperator, namespace: str, tmp_path: Path) -> Endpoint:
    """The progress endpoint of an operator that is ready."""
    return serve(start_operator, api, namespace, tmp_path)


@pytest.fixture
def runs(api: client.ApiClient, namespace: str) -> Runs:
    """The runs of the test's namespace."""
    return Runs(api, namespace)
