"""The last word of a process: its report in the termination log, its exit code, the stack trace in the log alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from lora_contract.exit_codes import ExitCode
from lora_contract.names import ENV_TERMINATION_LOG, Stage
from lora_contract.order import Order
from lora_contract.report import Report, ReportError, Timing, encode
from lora_trainer.errors import TrainerError

log = logging.getLogger(__name__)

_DEFAULT = "/dev/termination-log"


def write(report: Report) -> None:
    """Put the report where the kubelet reads it; without a kubelet that place may not exist, and nothing is written."""
    path = Path(os.environ.get(ENV_TERMINATION_LOG, _DEFAULT))
    try:
        path.write_text(encode(report), encoding="utf-8")
    except OSError as error:
        log.warning("the termination log %s cannot be written: %s", path, error.strerror)


class _Measured:
    timing: Callable[[], Timing] | None = None


def measure_with(timing: Callable[[], Timing]) -> None:
    """Let reports of failures tell this, too, from now on: what the process did and used, however it ends."""
    _Measured.timing = timing


def failure(stage: Stage, order: Order | None, error: TrainerError) -> Report:
    """Make the report of a process that could not do its work."""
    return Report(
        stage=stage,
        run_id=None if order is None else order.run_id,
        error=ReportError(message=error.message, param=error.param, hint=error.hint),
        timing=None if _Measured.timing is None else _Measured.timing(),
    )


def report_stall(order: Order, seconds: float) -> None:
    """End a process in which nothing happens any more, without asking its threads."""
    error = TrainerError(
        ExitCode.STALLED,
        f"nothing happened for {seconds:.0f} s",
        hint="The stacks of all threads are in the pod's log. The run starts again from its last checkpoint.",
    )
    write(failure("train", order, error))
    os._exit(ExitCode.STALLED)
