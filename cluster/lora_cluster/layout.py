"""Names, addresses and paths of one cluster: the only place where they are formed."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from lora_cluster.errors import ClusterError

RUN_ROOT = Path("/var/lib/lora-cluster")
MAX_NODES = 8
MAX_SLOTS = 16
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


def cache_root() -> Path:
    """Return the directory for what survives a cluster: built programs and unpacked images."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lora-operator"


def run_directory(name: str) -> Path:
    """Return the run directory of a cluster; raises `ClusterError` when the name is not usable."""
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"--name {name!r}: use a lower case letter, then at most 30 lower case letters, digits or '-'"
        )
    return RUN_ROOT / name


@dataclass(frozen=True)
class Layout:
    """One cluster: its name and its slot, a small number no other running cluster has.

    The slot makes addresses and interface names (15 characters at most) unique, so clusters can run side by side.
    """

    name: str
    slot: int

    @property
    def directory(self) -> Path:
        """The run directory: all state but the images, gone after `down` except for the logs."""
        return run_directory(self.name)

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the administrator."""
        return self.directory / "conf" / "admin.kubeconfig"

    @property
    def bridge(self) -> str:
        """The bridge in the host's network that joins the nodes."""
        return f"lora{self.slot}-br"

    @property
    def host_address(self) -> str:
        """The host as nodes and pods see it."""
        return f"10.199.{self.slot}.1"

    @property
    def pod_range(self) -> str:
        """All pod addresses of the cluster: 16 subnets of 256."""
        return f"10.244.{self.slot * 16}.0/20"

    @property
    def api_address(self) -> str:
        """The address of the API server: the first node's."""
        return self.node(1).address

    @property
    def api_url(self) -> str:
        """The API server, from the host, from nodes and from pods."""
        return f"https://{self.api_address}:{API_PORT}"

    def node(self, number: int) -> "NodeLayout":
        """Return node `number`, counted from 1."""
        return NodeLayout(self, number)


@dataclass(frozen=True)
class NodeLayout:
    """One node: a network namespace with its own containerd and kubelet."""

    cluster: Layout
    number: int

    @property
    def name(self) -> str:
        """The name of the Node object."""
        return f"node{self.number}"

    @property
    def directory(self) -> Path:
        """State of the node's kubelet and containerd."""
        return self.cluster.directory / self.name

    @property
    def address(self) -> str:
        """The node's address on the bridge."""
        return f"10.199.{self.cluster.slot}.{10 + self.number}"

    @property
    def pod_subnet(self) -> str:
        """The addresses of the node's pods."""
        return f"10.244.{self.cluster.slot * 16 + self.number}.0/24"

    @property
    def namespace_name(self) -> str:
        """The name of the network namespace."""
        return f"lora-cluster-{self.cluster.name}-{self.number}"

    @property
    def namespace(self) -> Path:
        """The file that holds the network namespace."""
        return Path("/var/run/netns") / self.namespace_name

    @property
    def host_interface(self) -> str:
        """The host's end of the cable to the node."""
        return f"lora{self.cluster.slot}-n{self.number}"

    @property
    def cgroup(self) -> str:
        """The cgroup of all pods of the node; two kubelets must not share one."""
        return f"lora-cluster-{self.cluster.name}-{self.name}"

    @property
    def containerd_socket(self) -> Path:
        """The socket of the node's containerd."""
        return self.directory / "containerd.sock"

    @property
    def containerd_root(self) -> Path:
        """Unpacked images; in the cache, by slot, so that the next cluster starts with all images in place."""
        return cache_root() / "containerd" / f"{self.cluster.slot}-{self.name}"
