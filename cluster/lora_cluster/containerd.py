"""A node's containerd: its configuration, its start, and its images."""

from pathlib import Path

from lora_cluster.commands import run, succeeds, wait_until
from lora_cluster.images import Archive, container_runtime_name, pause_tag
from lora_cluster.layout import NodeLayout
from lora_cluster.processes import Daemon, stop

_NAMESPACE = "k8s.io"  # the one Kubernetes' containers and images are in
_ARCHIVE_LABEL = "lora-operator.dev/archive"
_START_SECONDS = 60


def start(node: NodeLayout, daemon: Daemon, *, namespace: Path | None) -> None:
    """Start containerd, wait until it answers, and drop what it remembers of an earlier cluster's pods.

    `namespace`: the network that its pods will be in; None for one that only takes images.
    """
    node.directory.mkdir(parents=True, exist_ok=True)
    node.containerd_root.mkdir(parents=True, exist_ok=True)
    (node.directory / "containerd.toml").write_text(configuration(node))
    _start(node, daemon, namespace)
    remembered = _ctr(node, "containers", "list", "--quiet").split()
    if remembered:
        for container in remembered:
            _ctr(node, "containers", "delete", container)
        stop([daemon])
        _start(node, daemon, namespace)


def has_image(node: NodeLayout, reference: str) -> bool:
    """Tell whether the node has an image of this name."""
    return container_runtime_name(reference) in _ctr(node, "images", "list", "--quiet").split()


def import_archive(node: NodeLayout, archive: Archive) -> bool:
    """Import an image archive unless the node has it already, and tell whether it was imported."""
    if all(_has_archive(node, name, archive.digest) for name in archive.names):
        return False
    _ctr(node, "images", "import", archive.path)
    for name in archive.names:
        wanted = container_runtime_name(name)
        if wanted not in _ctr(node, "images", "list", "--quiet").split():
            _ctr(node, "images", "tag", name, wanted)
        # Written last: an interrupted import is done again.
        _ctr(node, "images", "label", wanted, f"{_ARCHIVE_LABEL}={archive.digest}")
    return True


def configuration(node: NodeLayout) -> str:
    """Return containerd's configuration: everything but the images is under the run directory."""
    runtime = 'plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc'
    return f"""\
version = 2
root = "{node.containerd_root}"
state = "{node.directory}/containerd"
temp = "{node.directory}/tmp"

[grpc]
  address = "{node.containerd_socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_tag()}"
  restrict_oom_score_adj = true  # root may lack CAP_SYS_RESOURCE
  disable_apparmor = true
  netns_mounts_under_state_dir = true  # so that the namespaces of dead pods are known to be ours

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{node.directory}/cni"

[{runtime}]
  runtime_type = "io.containerd.runc.v2"

[{runtime}.options]
  Root = "{node.directory}/runc"
"""


def _start(node: NodeLayout, daemon: Daemon, namespace: Path | None) -> None:
    daemon.start(["containerd", f"--config={node.directory / 'containerd.toml'}"], namespace=namespace)
    wait_until(
        f"containerd of {node.name}",
        lambda: node.containerd_socket.exists() and _answers(node),
        timeout=_START_SECONDS,
        still_possible=daemon.require_alive,
    )


def _answers(node: NodeLayout) -> bool:
    return succeeds(["ctr", f"--address={node.containerd_socket}", "version"])


def _has_archive(node: NodeLayout, name: str, digest: str) -> bool:
    listed = _ctr(node, "images", "list", f"name=={container_runtime_name(name)}")
    return f"{_ARCHIVE_LABEL}={digest}" in listed


def _ctr(node: NodeLayout, *words: str | Path) -> str:
    return run(["ctr", f"--address={node.containerd_socket}", f"--namespace={_NAMESPACE}", *words])
