"""Starts a process for each GPU of this pod, watches them, and ends with one report and one exit code.

torch's own launcher cannot keep the contract of `lora_contract.exit_codes`: it forgets the exit codes of its workers
after SIGTERM, kills the others 30 seconds after one of them ended other than with 0 (also with 75, while the first
one still uploads the checkpoint), and waits for its peers where it cannot hear SIGTERM. It also needs torch in the
process that only waits. So this one only starts and waits; everything else is torch's: store, collectives, DDP.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lora_contract import spec_paths
from lora_contract.counts import counted
from lora_contract.exit_codes import ExitCode
from lora_contract.layout import RunLayout
from lora_contract.names import ENV_GROUP_ADDRESS, ENV_ORDER, ENV_POD_INDEX, ENV_TERMINATION_LOG
from lora_contract.order import TrainOrder
from lora_contract.report import Report, decode
from lora_trainer import stopping, termination
from lora_trainer.command.verdict import WorkerEnd, verdict
from lora_trainer.errors import TrainerError, bad_config
from lora_trainer.processes import restart
from lora_trainer.processes.rank import LostContact, Place, meeting_point, processes, processes_a_pod
from lora_trainer.publish import adopt, adopted_report
from lora_trainer.store import Store, about

log = logging.getLogger(__name__)

#: The command of a process: the same stage, which finds its place in the environment.
COMMAND = [sys.executable, "-m", "lora_trainer", "train"]

#: Seconds that the others get after one failed, and after one stopped on request: a checkpoint is on its way then.
_AFTER_FAILURE = 20.0
_AFTER_STOP = 600.0
_POLL_SECONDS = 0.05
#: How often a pod of several forms the group, besides once for each retry: ends that count against none come on top.
_MEETINGS = 3
_PR_SET_PDEATHSIG = 1
#: Loaded before there is a child, in which as little as possible should happen.
_LIBC = ctypes.CDLL(None)


def train(order: TrainOrder, store: Store) -> Report:
    """Train in several processes; what the leader reported, and nothing of interest in a pod without it.

    A pod whose peers are gone forms the group anew, for the Job replaces them: so the end of one pod costs one retry,
    however many there are, and the loss of a node none. Oftener than the Job would replace one; then the pod itself
    counts as failed.

    Raises:
        TrainerError, StopRequested, SmallerMicroBatch: as `lora_trainer.train.stage.train`.
    """
    pod = _pod_index(order)
    layout = RunLayout(order.spec.output.uri, order.run_id)
    for _ in range(_MEETINGS + order.spec.retries if order.spec.compute.nodes > 1 else 1):
        stopping.check()
        # The other pods may have ended well: then nobody would come to meet this one.
        with about(spec_paths.OUTPUT_URI):
            if found := adopt(store, layout):
                return adopted_report("train", order.run_id, order.plan, found)
        try:
            return _train_once(order, pod)
        except LostContact:
            log.warning("processes of the run are gone")
    raise TrainerError(
        ExitCode.INTERNAL,
        "the processes of the run lost contact with each other",
        hint="The run starts again from its last checkpoint; the pod's log has the details.",
    )


def _pod_index(order: TrainOrder) -> int:
    """Return which pod of the run this one is.

    Raises:
        TrainerError: 64, the run wants several pods, and nothing says where they meet.
    """
    if order.spec.compute.nodes == 1:
        return 0
    index = os.environ.get(ENV_POD_INDEX, "")
    if not index.isdecimal() or meeting_point() is None:
        raise bad_config(
            f"{ENV_POD_INDEX} or {ENV_GROUP_ADDRESS} is not set",
            param=spec_paths.COMPUTE_NODES,
            hint="They are set for pods of the operator; on this machine alone set compute.nodes: 1.",
        )
    return int(index)


def _train_once(order: TrainOrder, pod: int) -> Report:
    Path(order.scratch).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="group-", dir=order.scratch))
    try:
        with stopping.deferred():
            ends = _Workers(order, pod, folder).wait()
        restart.raise_request(folder)
        leader = next((end.report for end in ends if end.rank == 0 and end.report is not None), None)
        if leader is not None and (timing := leader.timing) is not None:
            termination.measure_with(lambda: timing)
        report = verdict(ends, processes(order.spec.compute))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report or Report(stage="train", run_id=order.run_id)


class _Workers:
    """The processes of this pod."""

    def __init__(self, order: TrainOrder, pod: int, folder: Path) -> None:
        compute = order.spec.compute
        self._folder = folder
        self._ends: list[WorkerEnd] = []
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        count = processes_a_pod(compute)
        log.info("starting %s", counted(count, "process", "processes"))
        try:
            for local_rank in range(count):
                rank, size = pod * count + local_rank, processes(compute)
                address = meeting_point() if compute.nodes > 1 else None
                place = Place(rank, size, local_rank, count, folder, address)
                self._running[place.rank] = _start(order, place)
        except BaseException:
            self._send(signal.SIGKILL)
            raise

    def wait(self) -> list[WorkerEnd]:
        """Wait for all processes and return how each ended, in the order of their ends."""
        deadline: float | None = None
        told = False
        while self._running:
            self._collect()
            if deadline is None and (first := next((end for end in self._ends if end.code != ExitCode.DONE), None)):
                deadline = time.monotonic() + (_AFTER_STOP if first.code == ExitCode.CHECKPOINTED else _AFTER_FAILURE)
            if not told and (deadline is not None or stopping.requested()):
                told = True
                self._send(signal.SIGTERM)
            if deadline is not None and time.monotonic() > deadline:
                self._kill()
            time.sleep(_POLL_SECONDS)
        return self._ends

    def _collect(self, *, forced: bool = False) -> None:
        for rank, process in list(self._running.items()):
            code = process.poll()
            if code is not None:
                del self._running[rank]
                self._ends.append(WorkerEnd(rank, code, _report(self._folder, rank), forced))

    def _send(self, number: signal.Signals) -> None:
        for process in self._running.values():
            process.send_signal(number)

    def _kill(self) -> None:
        log.warning("processes %s do not end; killing them", sorted(self._running))
        self._send(signal.SIGKILL)
        for process in self._running.values():
            process.wait()
        self._collect(forced=True)


def _start(order: TrainOrder, place: Place) -> subprocess.Popen[bytes]:
    threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
    environment = {
        **os.environ,
        **place.environment(),
        ENV_ORDER: order.model_dump_json(by_alias=True, exclude_none=True),
        ENV_TERMINATION_LOG: str(_report_path(place.folder or Path(), place.rank)),
        "OMP_NUM_THREADS": str(max(1, threads // place.local_size)),
        "MKL_NUM_THREADS": str(max(1, threads // place.local_size)),
    }
    return subprocess.Popen(COMMAND, env=environment, preexec_fn=_die_with_parent)  # noqa: PLW1509 - no threads here


def _die_with_parent() -> None:
    """Let the kernel kill this child when its launcher dies, whatever kills that."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _report_path(folder: Path, rank: int) -> Path:
    return folder / f"report-{rank}.json"


def _report(folder: Path, rank: int) -> Report | None:
    path = _report_path(folder, rank)
    return decode(path.read_text(encoding="utf-8")) if path.is_file() else None
