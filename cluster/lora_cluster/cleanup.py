"""Remove a cluster, whether it runs, died half-way, or is what a reboot left."""

import shutil
from pathlib import Path

from lora_cluster import cgroups, mounts, network
from lora_cluster.layout import MAX_NODES, Layout
from lora_cluster.processes import daemons, kill_all, stop, working_in
from lora_cluster.state import RECORD, State
from lora_cluster.tools import TOOLS

# Before the rest: they would start pods again while these are being ended.
_FIRST = ("kubelet", "kube-proxy")
_LAST = ("etcd",)
_PROGRAMS = {"containerd", "containerd-shim-runc-v2", *TOOLS["etcd"].programs, *TOOLS["kubernetes"].programs}


def clear(state: State, *, keep_logs: bool = False) -> None:
    """End every process of the cluster; remove mounts, network, cgroups and files. Images stay cached."""
    group = daemons(state.directory)
    first = [daemon for daemon in group if daemon.name.endswith(_FIRST)]
    last = [daemon for daemon in group if daemon.name in _LAST]
    stop(first)
    if state.layout is not None:
        _end_pods(state.layout)
    stop(daemon for daemon in group if daemon not in first and daemon not in last)
    stop(last)
    # Shims, which containerd started, and daemons that were started but not yet on record.
    kill_all(working_in(state.directory, _PROGRAMS))
    if state.layout is not None:
        nodes = [state.layout.node(number) for number in range(1, MAX_NODES + 1)]
        mounts.unmount_under(state.directory, *(node.containerd_root for node in nodes))
        network.remove(state.layout)
        for node in nodes:
            cgroups.remove(node)
    _remove_files(state.directory, keep_logs=keep_logs)


def _end_pods(cluster: Layout) -> None:
    """Kill what runs in the pods: it outlives a containerd that was killed."""
    nodes = [cluster.node(number) for number in range(1, MAX_NODES + 1)]
    kill_all({pid for node in nodes for pid in cgroups.process_ids(node)})


def _remove_files(directory: Path, *, keep_logs: bool) -> None:
    """Remove the record last: a cluster cleared half-way is still known, and cleared by the next command."""
    kept = {RECORD, "log"} if keep_logs else {RECORD}
    for entry in list(directory.iterdir()) if directory.exists() else []:
        if entry.is_dir() and entry.name not in kept:
            shutil.rmtree(entry)
        elif entry.name not in kept:
            entry.unlink()
    (directory / RECORD).unlink(missing_ok=True)
    if not keep_logs and directory.exists():
        directory.rmdir()
