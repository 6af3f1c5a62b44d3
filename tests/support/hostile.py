"""Runs `prepare` on hostile input as a pod does, and holds it to its bounds."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer import store as stores
from lora_trainer.errors import TrainerError
from lora_trainer.prepare.stage import prepare
from support.prepare_orders import Place

#: Wall-clock seconds, on a busy machine, the start of the process included.
LONGEST_SECONDS = 120
MOST_BYTES = 2 << 30
#: Shorter than a pod's, so that tests of what hangs do not take minutes.
STALL_SECONDS = 45


def refused(run: Place) -> TrainerError:
    """The error in which `prepare` ends, within time and memory, and never as a defect of ours."""
    started = time.monotonic()
    with pytest.raises(TrainerError) as raised:
        prepare(run.order, stores.from_environment(2), stall_seconds=STALL_SECONDS)
    error = raised.value
    assert error.exit_code in (ExitCode.BAD_DATA, ExitCode.INPUT_MISSING, ExitCode.UNSUPPORTED), error.message
    assert error.message.isprintable()
    assert error.param
    assert error.hint
    bounded(started)
    assert not list(Path(run.order.scratch).iterdir())
    return error


def bounded(started: float) -> None:
    """Hold what ran since `started` (monotonic) to its bounds."""
    assert time.monotonic() - started < LONGEST_SECONDS
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < MOST_BYTES
