"""The operator as a process of its own against a real API server, with no more rights than it needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from kubernetes import client

from lora_cluster.api_server import free_ports
from lora_cluster.control_plane import ControlPlane
from support import chart
from support.api_server import eventually
from support.python_path import python_path

#: Not the name that the chart gives: both are installed in one API server.
ACCOUNT = "operator-under-test"
ACCOUNT_NAMESPACE = "default"
USER = f"system:serviceaccount:{ACCOUNT_NAMESPACE}:{ACCOUNT}"
TRAINER_IMAGE = "registry.example.org/lora-trainer:test"


def install(api: client.ApiClient) -> None:
    """Make the operator's ServiceAccount with the rights of the chart: one that is missing there fails a test."""
    client.CoreV1Api(api).create_namespaced_service_account(ACCOUNT_NAMESPACE, {"metadata": {"name": ACCOUNT}})
    rbac = client.RbacAuthorizationV1Api(api)
    rbac.create_cluster_role({"metadata": {"name": ACCOUNT}, "rules": chart.operator_rules()})
    rbac.create_cluster_role_binding(
        {
            "metadata": {"name": ACCOUNT},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": ACCOUNT_NAMESPACE}],
        }
    )


def write_kubeconfig(api: client.ApiClient, plane: ControlPlane, path: Path) -> Path:
    """A kubeconfig with a token of the operator's ServiceAccount."""
    request = {"spec": {"expirationSeconds": 7200}}
    answer = client.CoreV1Api(api).create_namespaced_service_account_token(ACCOUNT, ACCOUNT_NAMESPACE, request)
    return with_token(plane, answer.status.token, path)


def with_token(plane: ControlPlane, token: str, path: Path) -> Path:
    """A kubeconfig that shows a token instead of the administrator's certificate."""
    config = yaml.safe_load(plane.kubeconfig.read_text(encoding="utf-8"))
    config["users"][0]["user"] = {"token": token}
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def redirect(kubeconfig: Path, server: str, path: Path) -> Path:
    """The same kubeconfig with another server."""
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"] = {"server": server}
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


#: Variables that the operator's pod does not have; getpass finds the user's name in some of them.
NOT_IN_A_POD = ("LORA_OPERATOR_", "LOGNAME", "USER", "LNAME", "USERNAME")


def free_port() -> int:
    """A loopback port that is free now."""
    return free_ports(1)[0]


@dataclass
class Operator:
    """One operator process. `settings` become LORA_OPERATOR_ variables."""

    kubeconfig: Path
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    health_port: int = field(default_factory=free_port)
    #: Folder with the packages of another version of the operator; None: those that the tests import.
    packages: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Operator:
        """Start the process and do not wait for it."""
        settings = {"TRAINER_IMAGE": TRAINER_IMAGE, "LOG_FORMAT": "text", "HEALTH_PORT": str(self.health_port)}
        variables = {f"LORA_OPERATOR_{key}": value for key, value in (settings | self.settings).items()}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(NOT_IN_A_POD)}
        variables["KUBECONFIG"] = str(self.kubeconfig)
        variables["PYTHONPATH"] = python_path() if self.packages is None else str(self.packages)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("nameless_operator.py"))],
                env=inherited | variables,
                stdout=log,
                stderr=log,
            )
        return self

    def wait_ready(self) -> Operator:
        """Wait until it has listed everything."""
        eventually(f"the operator is ready; its log: {self.log}", self._ready)
        return self

    def kill(self) -> None:
        """SIGKILL, as by the out-of-memory killer."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, as by the kubelet; the exit code."""
        return self._end(signal.SIGTERM)

    def metric(self, name: str) -> float:
        """The sum of the samples of a metric over its labels."""
        lines = self.get("/metrics")[1].splitlines()
        samples = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in samples)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of an HTTP answer of the port for probes."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def _ready(self) -> bool:
        assert self.running, f"the operator ended: {self.log.read_text()[-3000:]}"
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        if self.running:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


StartOperator = Callable[..., Operator]


@contextmanager
def operators(kubeconfig: Path, directory: Path, namespace: str) -> Iterator[StartOperator]:
    """A function that starts operators for one namespace; all are ended with the context."""
    started: list[Operator] = []

    def start(*, kubeconfig: Path = kubeconfig, **settings: str) -> Operator:
        log = directory / f"operator-{len(started)}.log"
        operator = Operator(kubeconfig, log, {"WATCH_NAMESPACES": namespace} | settings)
        started.append(operator)
        return operator.start().wait_ready()

    try:
        yield start
    finally:
        for operator in started:
            operator.kill()
