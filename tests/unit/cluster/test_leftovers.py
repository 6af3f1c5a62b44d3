"""Finding what a dead cluster left behind, from what the kernel says."""

import os
import subprocess
import sys
from pathlib import Path

from lora_cluster.cgroups import mount_points
from lora_cluster.mounts import mounted_under
from lora_cluster.processes import Daemon, stop

_SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


def test_inner_mounts_are_found_before_outer_ones_and_neighbours_are_left_alone() -> None:
    mounts = "\n".join(
        [
            "tmpfs /run/lora/a tmpfs rw 0 0",
            "tmpfs /run/lora/a/b\\040c tmpfs rw 0 0",
            "tmpfs /run/lora-other tmpfs rw 0 0",
            "/dev/vda / ext4 rw 0 0",
        ]
    )

    assert mounted_under(mounts, [Path("/run/lora")]) == [Path("/run/lora/a/b c"), Path("/run/lora/a")]


def test_the_two_versions_of_cgroups_are_told_apart() -> None:
    mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"

    assert mount_points(mounts) == ([Path("/sys/fs/cgroup/cpu")], [Path("/sys/fs/cgroup/unified")])


def test_a_stopped_daemon_is_gone_and_so_is_its_pid_file(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "sleeper")
    daemon.start(_SLEEPER)
    assert daemon.alive()

    stop([daemon])

    assert not daemon.alive()
    assert not daemon.pid_file.exists()


def test_a_process_that_has_the_pid_of_an_ended_daemon_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen([*_SLEEPER, "stranger"])
    try:
        daemon = Daemon(tmp_path, "sleeper")
        daemon.start(_SLEEPER)
        own = daemon.pid()
        text = daemon.pid_file.read_text()
        stop([daemon])
        daemon.pid_file.write_text(text.replace(f'"pid": {own}', f'"pid": {stranger.pid}'))

        stop([daemon])

        assert not daemon.alive()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_daemon_holds_no_pipe_of_its_starter(
    tmp_path: Path,
) -> None:
    code = f"""
from pathlib import Path
from lora_cluster.processes import Daemon
Daemon(Path({str(tmp_path)!r}), "sleeper").start({_SLEEPER!r})
print("started")
"""
    path = os.pathsep.join(sys.path)
    try:
        said = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "PYTHONPATH": path},
        ).stdout
        assert said == "started\n"
        assert Daemon(tmp_path, "sleeper").alive()
    finally:
        stop([Daemon(tmp_path, "sleeper")])
