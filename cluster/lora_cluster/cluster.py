"""Start, extend, show and end clusters."""

import dataclasses
import functools
import os
from collections.abc import Iterable
from pathlib import Path

from lora_cluster import addons, api_server, containerd, network, node, packages, state, tools
from lora_cluster.certificates import Authority
from lora_cluster.cleanup import clear
from lora_cluster.commands import wait_until
from lora_cluster.control_plane import ControlPlane
from lora_cluster.errors import ClusterError
from lora_cluster.images import read_archive
from lora_cluster.kubectl import Kubectl
from lora_cluster.layout import API_PORT, MAX_NODES, Layout, NodeLayout, run_directory
from lora_cluster.locks import exclusive
from lora_cluster.processes import daemons
from lora_cluster.progress import say
from lora_cluster.state import State

DEFAULT_NAME = "lora"
_NODE_READY_SECONDS = 180
_ETCD_PORTS = (2379, 2380)


def up(name: str = DEFAULT_NAME, *, nodes: int = 1, gpus: int = 0, kueue: bool = False) -> Layout:
    """Make sure the cluster runs with at least `nodes` nodes, `gpus` GPUs on each, and Kueue if asked for.

    A healthy cluster is left as it is and extended where needed; the rest of a dead one is cleared first.
    """
    require_root()
    if not 1 <= nodes <= MAX_NODES:
        raise ClusterError(f"--nodes {nodes}: use 1 to {MAX_NODES}")
    run_directory(name)
    packages.ensure()
    tools.build((*tools.DEFAULT_TOOLS, *(("kueue",) if kueue else ())))
    with exclusive(state.LOCK):
        current = _running(name) or _create(name)
        cluster = _layout(current)
        current = _extend(current, cluster, nodes)
        for number in range(1, current.nodes + 1):
            if gpus:
                node.set_gpus(cluster.node(number), gpus)
        addons.ensure_dns(cluster)
        if kueue:
            addons.ensure_kueue(cluster, current.nodes)
    say(f"cluster {name} is ready: {current.nodes} node(s), API server {cluster.api_url}")
    return cluster


def start_api_server(name: str) -> Path:
    """Make sure a control plane without nodes runs on loopback ports, and return its kubeconfig."""
    require_root()
    tools.build(tools.API_SERVER_TOOLS)
    record = State(name, slot=None)
    kubeconfig = record.directory / "conf" / "admin.kubeconfig"
    with exclusive(state.LOCK):
        found = state.read(name) or record
        if found.alive() and found.layout is not None:
            raise ClusterError(f"{name} is a cluster with nodes: use another --name")
        if not found.alive():
            clear(found)
            record.write()
            api_server.start(record.directory)
            dataclasses.replace(record, complete=True).write()
    say(f"API server {name} is ready")
    return kubeconfig


def load(name: str, archives: Iterable[Path]) -> None:
    """Import image archives into every node; an image that is there already is skipped."""
    current = _required(name)
    cluster = _layout(current)
    _import([cluster.node(number) for number in range(1, current.nodes + 1)], archives)


def preload(name: str, archives: Iterable[Path]) -> None:
    """Import image archives into the store that the first node of a cluster will have; not where the cluster exists.

    It needs none of our own programs, so it can be done while these are being built.
    """
    require_root()
    packages.ensure()
    with exclusive(state.LOCK):
        if state.read(name) is not None:
            return
        current = State(name, state.free_slot(state.recorded()))
        current.write()
        first = _layout(current).node(1)
        try:
            containerd.start(first, node.daemon(first, "containerd"), namespace=None)
            _import([first], archives)
        finally:
            clear(current)


def _import(nodes: Iterable[NodeLayout], archives: Iterable[Path]) -> None:
    nodes = list(nodes)
    for archive in [read_archive(path) for path in archives]:
        for target in nodes:
            imported = containerd.import_archive(target, archive)
            what = "loaded" if imported else "already there"
            say(f"{', '.join(archive.names)} on {target.name}: {what}")


def status(name: str) -> str:
    """Return a few lines on the cluster: its daemons, nodes and how to reach it."""
    current = state.read(name)
    if current is None:
        return f"cluster {name}: does not exist"
    group = daemons(current.directory)
    lines = [f"cluster {name}: {'running' if current.alive() else 'dead'}"]
    lines += [f"  {each.name:<24} {each.pid() or 'dead'}" for each in group]
    if current.alive():
        kubeconfig = current.directory / "conf" / "admin.kubeconfig"
        lines += [f"  kubeconfig {kubeconfig}"]
        if current.layout is not None:
            lines += [f"  API server {current.layout.api_url}; the host is {current.layout.host_address} to pods"]
            lines += Kubectl(kubeconfig).run("get", "nodes", "--output=wide").splitlines()
    return "\n".join(lines)


def down(name: str) -> None:
    """End the cluster and remove all of it but the logs and the cached images."""
    require_root()
    with exclusive(state.LOCK):
        found = state.read(name)
        if found is not None:
            clear(found, keep_logs=True)
    say(f"cluster {name} is down")


def kubeconfig_of(name: str) -> Path:
    """Return the administrator's kubeconfig of a running cluster; raises `ClusterError` when it does not run."""
    return _required(name).directory / "conf" / "admin.kubeconfig"


def require_root() -> None:
    """Raise `ClusterError` unless run as root: namespaces, mounts and cgroups need it."""
    if os.geteuid() != 0:
        raise ClusterError("run this as root: it makes network namespaces, mounts and cgroups")


def _running(name: str) -> State | None:
    """Return the cluster if it is healthy; clear what is left of dead ones, of any name."""
    for found in state.recorded():
        if not found.alive():
            say(f"clearing what is left of cluster {found.name}")
            clear(found)
    current = state.read(name)
    if current is None:
        return None
    if current.layout is None:
        raise ClusterError(f"{name} is an API server without nodes: use another --name")
    if not Kubectl(current.layout.kubeconfig).ready():
        say(f"the API server of {name} does not answer: starting anew")
        clear(current)
        return None
    return current


def _create(name: str) -> State:
    """Start a control plane and its first node."""
    current = State(name, state.free_slot(state.recorded()), nodes=1)
    clear(current)  # logs of an earlier run, and what an unrecorded cluster may have left in this slot
    current.write()
    cluster = _layout(current)
    first = cluster.node(1)
    plane = ControlPlane(cluster.directory, first.address, API_PORT, _ETCD_PORTS, first.namespace)
    authority = plane.write_files()
    say("network")
    network.create_bridge(cluster)
    node.create(first, authority)
    say("control plane")
    plane.start_api_server()
    _start_containerd(cluster, 1)
    plane.wait_ready()
    plane.start_controllers(scheduler=True)
    node.join(first)
    api_server.wait_for_default_service_account(cluster.kubeconfig)
    _wait_nodes(cluster, [1])
    current = dataclasses.replace(current, complete=True)
    current.write()
    return current


def _extend(current: State, cluster: Layout, nodes: int) -> State:
    """Add nodes until there are `nodes`; a node is on record only once it is ready."""
    authority = Authority.load(cluster.directory / "pki")
    added = range(current.nodes + 1, nodes + 1)
    if not added:
        return current
    dataclasses.replace(current, complete=False).write()
    for number in added:
        node.create(cluster.node(number), authority)
        _start_containerd(cluster, number)
        node.join(cluster.node(number))
    _wait_nodes(cluster, added)
    current = dataclasses.replace(current, nodes=nodes)
    current.write()
    return current


def _start_containerd(cluster: Layout, number: int) -> None:
    target = cluster.node(number)
    containerd.start(target, node.daemon(target, "containerd"), namespace=target.namespace)
    addons.ensure_tool_image(target, "pause", entrypoint="/pause")
    addons.ensure_tool_image(target, "coredns", entrypoint="/coredns")


def _wait_nodes(cluster: Layout, numbers: Iterable[int]) -> None:
    def still_possible() -> None:
        for daemon in daemons(cluster.directory):
            daemon.require_alive()

    for number in numbers:
        target = cluster.node(number)
        wait_until(
            f"{target.name} to be ready",
            functools.partial(node.ready, target),
            timeout=_NODE_READY_SECONDS,
            still_possible=still_possible,
        )
        say(f"{target.name} is ready")


def _required(name: str) -> State:
    current = state.read(name)
    if current is None or not current.alive():
        raise ClusterError(f"cluster {name} does not run: start it with `up --name {name}`")
    return current


def _layout(current: State) -> Layout:
    if current.layout is None:
        raise ClusterError(f"{current.name} is an API server without nodes")
    return current.layout
