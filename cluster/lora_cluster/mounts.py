"""Mounts of dead pods and of their network namespaces, found by where they are mounted."""

import re
from collections.abc import Iterable
from pathlib import Path

from lora_cluster.commands import run
from lora_cluster.errors import ClusterError


def mounted_under(mounts: str, roots: Iterable[Path]) -> list[Path]:
    """Return the mount points at or below any of `roots`, innermost first, from the text of /proc/mounts."""
    roots = list(roots)
    points = [Path(_unescaped(line.split()[1])) for line in mounts.splitlines()]
    ours = [point for point in points if any(point.is_relative_to(root) for root in roots)]
    return sorted(ours, key=lambda point: len(point.parts), reverse=True)


def unmount_under(*roots: Path) -> None:
    """Unmount all at or below `roots`; raises `ClusterError` if any stays, so no live data is deleted."""
    for point in mounted_under(Path("/proc/mounts").read_text(), roots):
        run(["umount", "--lazy", "--no-mtab", point])
    left = mounted_under(Path("/proc/mounts").read_text(), roots)
    if left:
        raise ClusterError(f"still mounted after unmounting: {', '.join(map(str, left))}")


def _unescaped(field: str) -> str:
    """Undo the octal escapes of space, tab, newline and backslash, see fstab(5)."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)
