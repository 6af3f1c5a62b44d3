"""A control plane without nodes, on the loopback interface: what tests of the API need, ready in seconds."""

import random
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lora_cluster import tools
from lora_cluster.commands import wait_until
from lora_cluster.control_plane import ControlPlane
from lora_cluster.kubectl import Kubectl
from lora_cluster.processes import daemons, stop

#: Below NodePorts (from 30000) and the ports of connections (/proc/sys/net/ipv4/ip_local_port_range, from 32768).
_PORTS = range(10_000, 30_000)


@contextmanager
def running(directory: Path | None = None, *, scheduler: bool = False) -> Iterator[ControlPlane]:
    """Run etcd, kube-apiserver and kube-controller-manager while the context lasts, and the scheduler if asked for.

    Needs no root. Files are kept in `directory`; without one, in a temporary directory that is removed.
    The value has `kubeconfig`, `url` and `audit_log`. Raises `ClusterError` when a component does not start.
    """
    home = directory or Path(tempfile.mkdtemp(prefix="lora-api-server-"))
    try:
        yield start(home, scheduler=scheduler)
    finally:
        stop(daemons(home))
        if directory is None:
            shutil.rmtree(home, ignore_errors=True)


def start(directory: Path, *, scheduler: bool = False) -> ControlPlane:
    """Start the components in the background on free loopback ports, and return once they serve."""
    tools.build(tools.API_SERVER_TOOLS)
    secure, client, peer = free_ports(3)
    plane = ControlPlane(directory=directory, address="127.0.0.1", port=secure, etcd_ports=(client, peer))
    plane.write_files()
    plane.start_api_server()
    plane.wait_ready()
    plane.start_controllers(scheduler=scheduler)
    wait_for_default_service_account(plane.kubeconfig)
    return plane


def wait_for_default_service_account(kubeconfig: Path) -> None:
    """Wait until pods can be created in `default`: the controller manager makes their ServiceAccount."""
    kubectl = Kubectl(kubeconfig)
    wait_until(
        "the ServiceAccount `default`",
        lambda: kubectl.succeeds("get", "serviceaccount", "default", "--namespace=default"),
        timeout=60,
    )


def free_ports(count: int) -> list[int]:
    """Return loopback ports that are free now; all are held until the last is found, so they differ.

    They are below those that the kernel gives to connections: one of these may be gone before a server listens on it.
    """
    with ExitStack() as stack:
        held: list[int] = []
        while len(held) < count:
            candidate = stack.enter_context(socket.socket())
            with suppress(OSError):  # taken: try another
                candidate.bind(("127.0.0.1", random.choice(_PORTS)))  # noqa: S311 - nothing is kept secret by it
                held.append(candidate.getsockname()[1])
        return held
