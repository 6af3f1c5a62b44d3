"""The last word of a process: its report in the termination log, its exit code, the stack trace in the log alone."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from lora_contract.exit_codes import ExitCode
from lora_contract.names import ENV_TERMINATION_LOG, Stage
from lora_contract.order import Order
from lora_contract.report import Report, ReportError, encode
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


def failure(stage: Stage, order: Order | None, error: TrainerError) -> Report:
    """The report of a process that could not do its work."""
    return Report(
        stage=stage,
        run_id=None if order is None else order.run_id,
        error=ReportError(message=error.message, param=error.param, hint=error.hint),
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
