"""Daemons that outlive the command which started them, and are ended only when they are provably ours.

A pid alone proves nothing: it may belong to another program by now. The pid file therefore also holds the
start time of the process and its command line; both must match.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from lora_cluster.commands import wait_until
from lora_cluster.errors import ClusterError

_LOG_TAIL_LINES = 15
# Kept so that a daemon which ends while its starter still runs does not stay behind as a zombie.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Daemon:
    """A background process of one run directory: `pid/<name>.json` and `log/<name>.log`."""

    directory: Path
    name: str

    @property
    def pid_file(self) -> Path:
        """Where the identity of the process is kept."""
        return self.directory / "pid" / f"{self.name}.json"

    @property
    def log_file(self) -> Path:
        """Where standard output and standard error of the process go."""
        return self.directory / "log" / f"{self.name}.log"

    def start(
        self,
        argv: Sequence[str | Path],
        *,
        namespace: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start `argv` in a session of its own, in the network namespace at `namespace` if one is given.

        No file descriptor of the caller is inherited: whoever reads the caller's output is not kept waiting.
        """
        words = [str(word) for word in argv]
        # `ip netns exec` would remount /sys and hide the cgroups from the kubelet; nsenter executes in place.
        enter = [] if namespace is None else ["nsenter", f"--net={namespace}"]
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            child = subprocess.Popen(
                [*enter, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=None if environment is None else {**os.environ, **environment},
                start_new_session=True,
            )
        _children[child.pid] = child
        identity = {"pid": child.pid, "startTime": start_time(child.pid), "command": words}
        self.pid_file.write_text(json.dumps(identity))

    def pid(self) -> int | None:
        """Return the process id while the very process that was started still runs, else None."""
        try:
            identity = json.loads(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        pid = int(identity["pid"])
        if pid in _children:
            _children[pid].poll()
        if identity["startTime"] is None or start_time(pid) != identity["startTime"]:
            return None
        command: list[str] = identity["command"]
        now = command_line(pid)
        # While a program replaces itself by another, as nsenter does, it has no arguments for a moment.
        return pid if not now or now[-len(command) :] == command else None

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self.pid() is not None

    def require_alive(self) -> None:
        """Raise `ClusterError` with the end of the log when the process has ended."""
        if not self.alive():
            raise ClusterError(f"{self.name} ended; the end of {self.log_file}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """Return the last lines of the log."""
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(lines[-_LOG_TAIL_LINES:])


def daemons(directory: Path) -> list[Daemon]:
    """Return every daemon that has a pid file in the run directory, dead or alive."""
    return [Daemon(directory, path.stem) for path in sorted((directory / "pid").glob("*.json"))]


def stop(group: Iterable[Daemon], *, grace: float = 5.0) -> None:
    """End the daemons: SIGTERM to all, SIGKILL to those still there after `grace` seconds."""
    group = list(group)
    for end in (signal.SIGTERM, signal.SIGKILL):
        for daemon in group:
            pid = daemon.pid()
            if pid is not None:
                send(pid, end)
        try:
            wait_until("daemons to end", lambda: not any(daemon.alive() for daemon in group), timeout=grace)
            break
        except ClusterError:
            if end is signal.SIGKILL:
                raise
    for daemon in group:
        daemon.pid_file.unlink(missing_ok=True)


def kill_all(pids: Iterable[int], *, timeout: float = 10.0) -> None:
    """Send SIGKILL to processes found by their own marks, and wait until they are gone."""
    pids = set(pids)
    deadline = time.monotonic() + timeout
    for pid in pids:
        send(pid, signal.SIGKILL)
    wait_until(
        "killed processes to end",
        lambda: all(start_time(pid) is None for pid in pids),
        timeout=max(0.0, deadline - time.monotonic()),
    )


def send(pid: int, which: signal.Signals) -> None:
    """Send a signal; a process that is already gone is fine."""
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        return


def start_time(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot; None when it is gone or a zombie.

    psutil tells it by the wall clock, which may be set while a daemon runs. See proc(5), field 22 of /proc/PID/stat.
    """
    try:
        # The name of the program stands in parentheses and may hold anything; the fields follow the last one.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def command_line(pid: int) -> list[str]:
    """Return the arguments of a process; empty when it is gone."""
    try:
        return psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        return []


def working_in(directory: Path, programs: Collection[str]) -> set[int]:
    """Return the processes of the named programs that have a path below `directory` among their arguments."""
    found = set()
    for pid in psutil.pids():
        words = command_line(pid)
        if words and Path(words[0]).name in programs:
            values = (word.partition("=")[2] or word for word in words[1:])
            if any(value.startswith(f"{directory}/") for value in values):
                found.add(pid)
    return found
