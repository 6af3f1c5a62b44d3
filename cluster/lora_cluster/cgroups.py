"""The cgroup of each node's pods: version 1 (one hierarchy per controller) and version 2 (one for all)."""

from collections.abc import Iterator
from pathlib import Path

from lora_cluster.layout import NodeLayout

# Four times the weight of a normal process group: else builds and tests on the host starve the pods.
_CPU_SHARES = 8192
_CPU_WEIGHT = 800


def mount_points(mounts: str) -> tuple[list[Path], list[Path]]:
    """Return the mount points of version 1 and of version 2, from the text of /proc/mounts."""
    version1: list[Path] = []
    version2: list[Path] = []
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split()
        if kind == "cgroup":
            version1.append(Path(point))
        elif kind == "cgroup2":
            version2.append(Path(point))
    return version1, version2


def create(node: NodeLayout) -> None:
    """Make the node's cgroup in every hierarchy and raise its share of the processors."""
    version1, version2 = mount_points(Path("/proc/mounts").read_text())
    # On a hybrid machine the controllers are in version 1, and the kubelet follows them.
    for point in version1 or version2:
        group = point / node.cgroup
        group.mkdir(exist_ok=True)
        if not version1:
            for controller in (group / "cgroup.controllers").read_text().split():
                (group / "cgroup.subtree_control").write_text(f"+{controller}")
        for name, value in (("cpu.shares", _CPU_SHARES), ("cpu.weight", _CPU_WEIGHT)):
            if (group / name).exists():
                (group / name).write_text(str(value))


def process_ids(node: NodeLayout) -> set[int]:
    """Return the processes of all pods of the node."""
    found: set[int] = set()
    for group in _groups(node):
        for path in group.rglob("cgroup.procs"):
            found.update(int(line) for line in path.read_text().split())
    return found


def remove(node: NodeLayout) -> None:
    """Remove the node's cgroups, which must hold no process any more."""
    for group in _groups(node):
        # Only rmdir removes a cgroup; the files in it are the kernel's.
        for directory in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            directory.rmdir()
        group.rmdir()


def _groups(node: NodeLayout) -> Iterator[Path]:
    version1, version2 = mount_points(Path("/proc/mounts").read_text())
    return (point / node.cgroup for point in version1 + version2 if (point / node.cgroup).is_dir())
