"""Runs of several processes: what a test asks of them and compares."""

from __future__ import annotations

import time
from typing import Any

import psutil
import pytest
from safetensors.torch import load

from lora_contract.names import ENV_GROUP_ADDRESS, ENV_POD_INDEX
from support.operator import free_port
from support.train_runs import STEPS, Attempt, TrainRun

#: No dropout, whose random numbers differ between processes, and full precision: figures equal those of one process.
PLAIN: dict[str, Any] = {"lora__dropout": 0, "quantization__type": "none", "training__microBatchSize": 2}


def assert_same_training(run: TrainRun, alone: TrainRun) -> None:
    """Each step once, with the figures of one process, and the same adapter."""
    mine, other = run.metrics()[:-1], alone.metrics()[:-1]
    assert [entry["step"] for entry in mine] == list(range(1, STEPS + 1))
    for entry, expected in zip(mine, other, strict=True):
        assert entry.keys() == expected.keys()
        for key, value in entry.items():
            assert value == pytest.approx(expected[key], rel=1e-4, abs=1e-6), (entry["step"], key)
    weights, expected_weights = load(run.adapter()), load(alone.adapter())
    assert weights.keys() == expected_weights.keys()
    for name, tensor in weights.items():
        difference = (tensor.float() - expected_weights[name].float()).abs().max()
        # Published in bfloat16: a value next to a rounding boundary moves by one unit in the last place.
        assert difference <= 2**-8 * expected_weights[name].float().abs().max(), name


def children_of(pid: int) -> list[int]:
    """Processes that a process started."""
    return sorted(child.pid for child in psutil.Process(pid).children())


def wait_until_gone(pids: list[int], *, seconds: float = 20) -> None:
    """Return when none of these processes is alive."""
    deadline = time.monotonic() + seconds
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process is left behind"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class Pods:
    """The pods of a run on several nodes, here processes on the loopback interface."""

    def __init__(self, run: TrainRun) -> None:
        self.run = run
        self.address = f"127.0.0.1:{free_port()}"

    def start(self, index: int, **fault: Any) -> Attempt:
        """Start the pod of an index, or the one that replaces it."""
        variables = {ENV_POD_INDEX: str(index), ENV_GROUP_ADDRESS: self.address, "GLOO_SOCKET_IFNAME": "lo"}
        return self.run.start(real=True, variables=variables, **fault)
