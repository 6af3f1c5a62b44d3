"""The nodes of a test's cluster: found, killed, asked whether they answer."""

from __future__ import annotations

import signal

from lora_cluster import cgroups, node, processes, state
from lora_cluster.layout import NodeLayout
from support.tiny_cluster import TinyCluster


def node_of(place: TinyCluster, number: int) -> NodeLayout:
    """A node by its number, the first is 1."""
    found = state.read(place.name)
    assert found is not None
    assert found.layout is not None
    return found.layout.node(number)


def kill_pods(dying: NodeLayout) -> None:
    """Kill every process of a node's pods."""
    processes.kill_all(cgroups.process_ids(dying))


def kill_node(dying: NodeLayout) -> None:
    """Kill kubelet, containerd and every process of the pods: the node is gone without a word."""
    for program in ("kubelet", "containerd"):
        pid = node.daemon(dying, program).pid()
        assert pid is not None
        processes.send(pid, signal.SIGKILL)
    kill_pods(dying)


def answers(place: TinyCluster, name: str) -> bool:
    """Whether the cluster believes that a node is ready."""
    conditions = place.kubernetes.get("node", name)["status"]["conditions"]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
