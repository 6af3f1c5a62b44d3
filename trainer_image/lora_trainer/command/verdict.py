"""What the ends of a pod's processes mean for the pod: one report, or one error."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from lora_contract.exit_codes import USER_ERRORS, ExitCode
from lora_contract.report import Report
from lora_trainer.errors import TrainerError
from lora_trainer.processes.rank import LOST_CONTACT, LostContact


@dataclass(frozen=True)
class WorkerEnd:
    """How one process ended. `code` as of `subprocess`: negative for a signal. `forced`: the launcher killed it."""

    rank: int
    code: int
    report: Report | None = None
    forced: bool = False


def verdict(ends: Sequence[WorkerEnd], size: int) -> Report | None:
    """Return the report of the leader, None in a pod that does not have it; `ends` in the order in which they came.

    A process that fails takes the others down with it, so the first cause counts: an error of the user, then any
    error with words or a signal, then a stop on request; that others were lost is a consequence.

    Raises:
        TrainerError: why the pod failed, or 75, it was stopped.
        LostContact: no process of this pod failed by itself.
    """
    if all(end.code == ExitCode.DONE for end in ends):
        return next((end.report for end in ends if end.rank == 0), None)
    causes = [end for end in ends if _is_cause(end)]
    user_errors = [end for end in causes if end.code in USER_ERRORS]
    for end in (*user_errors, *causes):
        raise _error(end, size)
    for end in ends:
        if end.code == ExitCode.CHECKPOINTED:
            raise _error(end, size)
    if any(end.code == -signal.SIGTERM for end in ends):
        raise TrainerError(ExitCode.CHECKPOINTED, "stopped on request; nothing is lost")
    raise LostContact


def _is_cause(end: WorkerEnd) -> bool:
    consequences = (ExitCode.DONE, ExitCode.CHECKPOINTED, LOST_CONTACT, -signal.SIGTERM)
    return not end.forced and end.code not in consequences


def _error(end: WorkerEnd, size: int) -> TrainerError:
    error = end.report.error if end.report else None
    known = end.code in set(ExitCode)
    if error is not None and known:
        return TrainerError(ExitCode(end.code), error.message, param=error.param, hint=error.hint)
    how = f"was killed by {signal.Signals(-end.code).name}" if end.code < 0 else f"ended with exit code {end.code}"
    return TrainerError(
        ExitCode(end.code) if known else ExitCode.INTERNAL,
        f"process {end.rank} of {size} {how}",
        hint="The run starts again from its last checkpoint. Killed by SIGKILL it is often short of memory:"
        " raise compute.memory if it happens again."
        if end.code == -signal.SIGKILL
        else "The run starts again from its last checkpoint; the pod's log has the details.",
    )
