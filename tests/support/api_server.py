"""A real API server with our CRD: what the tests of tests/api stand on."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from lora_cluster import api_server
from lora_cluster.control_plane import ControlPlane
from lora_cluster.kubectl import Kubectl
from lora_contract import names

CRDS = Path(__file__).resolve().parents[2] / "crds"
CRD = CRDS / f"{names.PLURAL}.{names.GROUP}.yaml"
SWEEP_CRD = CRDS / f"{names.SWEEP_PLURAL}.{names.GROUP}.yaml"


@contextmanager
def running(directory: Path, *, definitions: Path = CRDS) -> Iterator[ControlPlane]:
    """etcd, API server and controller manager on loopback, with our CRDs (or those of another version) served."""
    with api_server.running(directory) as plane:
        define(plane, definitions)
        resources = client.CustomObjectsApi(connect(plane))
        eventually("the resources are served", lambda: served(resources))
        yield plane


def define(plane: ControlPlane, definitions: Path) -> None:
    """Apply the CRDs of a folder."""
    for definition in (CRD, SWEEP_CRD):
        Kubectl(plane.kubeconfig).apply_text((definitions / definition.name).read_text(encoding="utf-8"))


def served(resources: client.CustomObjectsApi) -> bool:
    """Whether objects can be listed: the one sign that a new CRD is ready which has no gaps."""
    try:
        for plural in (names.PLURAL, names.SWEEP_PLURAL):
            resources.list_cluster_custom_object(names.GROUP, names.VERSION, plural)
    except client.ApiException:
        return False
    return True


def connect(plane: ControlPlane) -> client.ApiClient:
    """A client of the administrator."""
    return config.new_client_from_config(str(plane.kubeconfig))


def make_namespace(api: client.ApiClient, **labels: str) -> str:
    """A namespace of its own for one test; the control plane goes as a whole, so nobody deletes it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    client.CoreV1Api(api).create_namespace({"metadata": {"name": name, "labels": labels}})
    return name


def eventually(what: str, holds: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait for a condition; fails with its name when it does not come true in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def manifest(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A LoRAFineTune as a user would write it."""
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name}, "spec": spec}


def as_yaml(*documents: dict[str, Any]) -> str:
    """Documents for `kubectl apply -f -`."""
    return yaml.safe_dump_all(documents)


class FineTunes:
    """The LoRAFineTunes of one namespace, written strictly: an unknown field is refused, as by kubectl."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api = client.CustomObjectsApi(api)
        self._where = (names.GROUP, names.VERSION, namespace, names.PLURAL)

    def create(self, name: str, spec: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Create one; the answer has the defaults that the server applied."""
        options = {"dry_run": "All"} if dry_run else {}
        created: dict[str, Any] = self._api.create_namespaced_custom_object(
            *self._where, manifest(name, spec), field_validation="Strict", **options
        )
        return created

    def get(self, name: str) -> dict[str, Any]:
        """Read one."""
        found: dict[str, Any] = self._api.get_namespaced_custom_object(*self._where, name)
        return found

    def replace(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Replace the spec of one."""
        body = self.get(name) | {"spec": spec}
        replaced: dict[str, Any] = self._api.replace_namespaced_custom_object(
            *self._where, name, body, field_validation="Strict"
        )
        return replaced

    def write_status(self, name: str, status: dict[str, Any]) -> dict[str, Any]:
        """Replace the status of one."""
        body = self.get(name) | {"status": status}
        written: dict[str, Any] = self._api.replace_namespaced_custom_object_status(
            *self._where, name, body, field_validation="Strict"
        )
        return written

    def delete(self, name: str) -> None:
        """Delete one."""
        self._api.delete_namespaced_custom_object(*self._where, name)
