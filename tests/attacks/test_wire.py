"""What strangers on the network and writers in the bucket can do to the processes of a run: neither code nor words."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import torch.distributed as dist

from lora_contract.exit_codes import ExitCode
from lora_contract.names import ENV_ALLOW_CPU
from lora_trainer.digests import digests_below
from lora_trainer.ledger.checkpoints import CheckpointManifest
from support.groups import PLAIN, Pods, assert_same_training, children_of
from support.seaweedfs import SeaweedFS
from support.train_runs import Attempt, Ended, TrainRun, prepared_run
from trainer.train.conftest import sources

__all__ = ["sources"]

#: A pickle that makes a folder when it is loaded.
EXPLOIT = b"cos\nmkdir\n(V{folder}\ntR."


@pytest.fixture(autouse=True)
def processes_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_ALLOW_CPU, "1")


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A folder that exists only if a payload ran."""
    folder = tmp_path / "code-ran"
    yield folder
    assert not folder.exists()


@pytest.fixture
def run(s3_server: SeaweedFS, sources: tuple[str, str], tmp_path: Path) -> TrainRun:
    return prepared_run(s3_server, tmp_path, *sources, **PLAIN)


def on(run: TrainRun, **compute: int) -> TrainRun:
    """The same run on other hardware: its adapter is the same."""
    spec = run.order.spec.model_copy(update={"compute": run.order.spec.compute.model_copy(update=compute)})
    return TrainRun(run.server, run.folder / "-".join(compute), run.order.model_copy(update={"spec": spec}))


def paused(attempt: Attempt) -> list[int]:
    """The processes of an attempt that stands at its step."""
    attempt.wait_for("step 5 done")
    assert attempt.process.pid is not None
    return children_of(attempt.process.pid)


def listening(pid: int) -> list[tuple[str, int]]:
    """Where a process listens: address and port."""
    connections = psutil.Process(pid).net_connections("tcp")
    return [(at.laddr.ip, at.laddr.port) for at in connections if at.status == psutil.CONN_LISTEN]


def send(port: int, content: bytes) -> None:
    """Send bytes to a port of this machine, whatever becomes of them."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.settimeout(1)
        connection.sendall(content)
        connection.recv(1 << 16)


def assert_done(*ends: Ended) -> None:
    for ended in ends:
        assert ended.code == ExitCode.DONE, ended.log[-3000:]


def test_strangers_at_the_meeting_point_change_nothing(
    run: TrainRun, marker: Path, tmp_path: Path, s3_server: SeaweedFS, sources: tuple[str, str]
) -> None:
    # A run on two nodes whose processes stand at a step
    two, gate = on(run, nodes=2, gpus=1), tmp_path / "go-on"
    pods = Pods(two)
    first = pods.start(0, pauseAt=5, pauseUntil=str(gate))
    second = pods.start(1)
    paused(first)
    host, _, port = pods.address.rpartition(":")
    # A stranger sends pickles, holds connections open, and speaks to the store as torch does
    exploit = EXPLOIT.replace(b"{folder}", str(marker).encode())
    for content in (exploit, b"\x80\x04" + exploit * 100, os.urandom(1 << 16), b"GET / HTTP/1.1\r\n\r\n"):
        send(int(port), content)
    held = [socket.create_connection((host, int(port)), timeout=5) for _ in range(40)]
    for name in ("words/published", "words/trains", "collectives/0"):
        with pytest.raises(dist.DistError):
            dist.TCPStore(host, int(port), is_master=False, timeout=timedelta(seconds=2)).set(name, exploit)
    gate.touch()
    # The run ends as one that nobody disturbed
    assert_done(first.end(), second.end())
    for connection in held:
        connection.close()
    undisturbed = prepared_run(s3_server, tmp_path / "undisturbed", *sources, **PLAIN)
    assert_done(undisturbed.finish())
    assert_same_training(two, undisturbed)


def test_a_pod_alone_in_its_job_listens_to_nobody_outside(run: TrainRun, tmp_path: Path) -> None:
    # A run on two GPUs of one node, at a step
    gate = tmp_path / "go-on"
    attempt = on(run, gpus=2).start(real=True, pauseAt=5, pauseUntil=str(gate))
    workers = paused(attempt)
    # All that its processes listen to is the loopback interface
    addresses = {address for pid in workers for address, _ in listening(pid)}
    assert len(workers) == 2
    assert addresses == {"127.0.0.1"}
    gate.touch()
    assert_done(attempt.end())


def test_bytes_sent_to_the_ports_of_the_collectives_run_no_code(run: TrainRun, marker: Path, tmp_path: Path) -> None:
    # A run of two processes, at a step
    gate = tmp_path / "go-on"
    attempt = on(run, gpus=2).start(real=True, pauseAt=5, pauseUntil=str(gate))
    ports = [port for pid in paused(attempt) for _, port in listening(pid)]
    assert ports
    # A stranger sends pickles to each port
    exploit = EXPLOIT.replace(b"{folder}", str(marker).encode())
    for port in ports:
        for content in (exploit, os.urandom(1 << 12)):
            send(port, content)
    gate.touch()
    # The run ends well, or in an end that is retried and says which process it was
    ended = attempt.end()
    if ended.code != ExitCode.DONE:
        assert ended.code == ExitCode.INTERNAL, ended.log[-3000:]
        assert ended.report is not None
        assert ended.report.error is not None
        assert "of 2 was killed by" in ended.report.error.message


class Exploit:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_checkpoint_that_somebody_planted_is_passed_over(run: TrainRun, marker: Path, tmp_path: Path) -> None:
    # A run with a checkpoint, and a newer one with a valid manifest that holds a payload
    assert run.finish(termAt=5).code == ExitCode.CHECKPOINTED
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "trainer_state.json").write_text("{}")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"state": Exploit(marker)}, planted / name)
    files = digests_below(planted)
    prefix = run.layout.checkpoint(1, 9)
    for name in files:
        run.store.upload(planted / name, f"{prefix}/{name}")
    manifest = CheckpointManifest(run_id=run.layout.run_id, claim=1, step=9, files=files)
    run.store.write(f"{prefix}/manifest.json", manifest.model_dump_json(by_alias=True).encode())
    # The run goes on
    ended = run.finish()
    # It says so, and goes on from its own
    assert_done(ended)
    assert "step-00000009 is not usable" in ended.log
    assert ended.report is not None
    assert ended.report.timing is not None
    assert ended.report.timing.from_step == 5
