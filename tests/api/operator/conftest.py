"""An operator for each test, looking after the test's namespace alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from lora_cluster.control_plane import ControlPlane
from support import operator
from support.operator import Operator, StartOperator
from support.progress_endpoint import Endpoint, serve
from support.runs import Runs


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


@pytest.fixture
def running_operator(start_operator: StartOperator) -> Operator:
    """An operator that is ready."""
    return start_operator()


@pytest.fixture
def endpoint(api: client.ApiClient, start_operator: StartOperator, namespace: str, tmp_path: Path) -> Endpoint:
    """The progress endpoint of an operator that is ready."""
    return serve(start_operator, api, namespace, tmp_path)


@pytest.fixture
def runs(api: client.ApiClient, namespace: str) -> Runs:
    """The runs of the test's namespace."""
    return Runs(api, namespace)
