"""CUDA out of memory: the process replaces itself, with half the rows in a forward pass and the same effective batch.

Where a launcher watches several processes, the one that ran out of memory leaves it a request and ends; the launcher
replaces itself, and so the whole group.

A fresh process, because memory that was fragmented or is held by an unwound error cannot be had back reliably.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

from lora_contract import spec_paths
from lora_contract.counts import counted
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import TrainingSpec
from lora_trainer.errors import TrainerError

#: Set for the process that takes over, by the one before it.
ENV_MICRO_BATCH = "LORA_MICRO_BATCH"
ENV_HISTORY = "LORA_MICRO_BATCH_HISTORY"

_REQUEST = "smaller-micro-batch.json"


class SmallerMicroBatch(Exception):  # noqa: N818 - an order to start again, not a failure
    """Start again with this many rows in a forward pass."""

    def __init__(self, size: int, was: int) -> None:
        super().__init__(size)
        self.size = size
        self.was = was


def wanted_micro_batch(training: TrainingSpec) -> int | None:
    """Return the micro batch that a process before this one asked for, else that of the spec."""
    size = os.environ.get(ENV_MICRO_BATCH)
    return int(size) if size else training.micro_batch_size


def warning() -> list[str]:
    """Say in the report that the micro batch was halved."""
    history = os.environ.get(ENV_HISTORY)
    return [f"CUDA ran out of memory; rows in a forward pass: {history} (the result is the same)"] if history else []


def halved(micro_batch_size: int, training: TrainingSpec, processes: int = 1) -> SmallerMicroBatch:
    """Say what to do when a pass with `micro_batch_size` rows does not fit; `processes` share an effective batch.

    Raises:
        TrainerError: 80, one row does not fit.
    """
    if micro_batch_size == 1:
        raise TrainerError(
            ExitCode.CUDA_OUT_OF_MEMORY,
            f"CUDA ran out of memory with one row of up to {counted(training.max_length, 'token')} in a forward pass",
            param=spec_paths.TRAINING_MAX_LENGTH,
            hint=f"Set training.maxLength to {max(8, training.max_length // 2)}, or use a GPU with more memory.",
        )
    size = micro_batch_size // 2
    while training.effective_batch_size // processes % size:
        size -= 1
    return SmallerMicroBatch(size, micro_batch_size)


def leave_request(order: SmallerMicroBatch, folder: Path) -> None:
    """Tell the launcher, which shares `folder`."""
    (folder / _REQUEST).write_text(json.dumps({"size": order.size, "was": order.was}))


def raise_request(folder: Path) -> None:
    """Do what a process asked its launcher for.

    Raises:
        SmallerMicroBatch: one did.
    """
    path = folder / _REQUEST
    if path.is_file():
        raise SmallerMicroBatch(**json.loads(path.read_text()))


def start_again(order: SmallerMicroBatch) -> NoReturn:
    """Replace this process by a new one of the same command."""
    history = os.environ.get(ENV_HISTORY) or str(order.was)
    os.environ[ENV_HISTORY] = f"{history} > {order.size}"
    os.environ[ENV_MICRO_BATCH] = str(order.size)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same command
