"""What the ends of several processes mean for their pod."""

from __future__ import annotations

import signal

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.report import Report, ReportError
from lora_trainer.command.verdict import WorkerEnd, verdict
from lora_trainer.errors import TrainerError
from lora_trainer.processes.rank import LOST_CONTACT, LostContact


def failed(rank: int, code: int, message: str = "why") -> WorkerEnd:
    return WorkerEnd(rank, code, Report(stage="train", error=ReportError(message=message, hint="what to do")))


def error_of(*ends: WorkerEnd) -> TrainerError:
    with pytest.raises(TrainerError) as caught:
        verdict(ends, 2)
    return caught.value


def test_when_all_are_done_the_report_is_the_leaders() -> None:
    report = Report(stage="train", run_id="abc")
    assert verdict([WorkerEnd(1, 0, Report(stage="train")), WorkerEnd(0, 0, report)], 2) is report


@pytest.mark.parametrize("code", [ExitCode.BAD_CONFIG, ExitCode.UNAVAILABLE, ExitCode.STALLED, ExitCode.GPU_FAILED])
def test_the_error_of_one_is_the_error_of_the_pod(code: ExitCode) -> None:
    error = error_of(failed(1, code), WorkerEnd(0, LOST_CONTACT))
    assert (error.exit_code, error.message, error.hint) == (code, "why", "what to do")


def test_an_error_of_the_user_comes_before_others_and_the_first_before_later_ones() -> None:
    assert error_of(failed(1, ExitCode.INTERNAL), failed(0, ExitCode.LOSS_NOT_FINITE)).exit_code == 81
    assert error_of(failed(1, ExitCode.INTERNAL, "first"), failed(0, ExitCode.UNAVAILABLE)).message == "first"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_signal_is_named_and_retried(number: signal.Signals) -> None:
    error = error_of(WorkerEnd(1, -number), WorkerEnd(0, LOST_CONTACT))
    assert error.exit_code == ExitCode.INTERNAL
    assert f"process 1 of 2 was killed by {number.name}" in error.message


def test_what_the_launcher_killed_is_no_cause() -> None:
    ends = (failed(1, ExitCode.UNAVAILABLE), WorkerEnd(0, -signal.SIGKILL, forced=True))
    assert error_of(*ends).exit_code == ExitCode.UNAVAILABLE


def test_a_stop_on_request_is_one_also_where_the_others_heard_of_it_too_early_or_by_a_broken_connection() -> None:
    for other in (WorkerEnd(1, -signal.SIGTERM), WorkerEnd(1, LOST_CONTACT), WorkerEnd(1, 0)):
        assert error_of(failed(0, ExitCode.CHECKPOINTED, "stopped"), other).exit_code == ExitCode.CHECKPOINTED
    assert error_of(WorkerEnd(0, -signal.SIGTERM), WorkerEnd(1, -signal.SIGTERM)).exit_code == ExitCode.CHECKPOINTED


def test_a_failure_is_one_also_where_the_others_were_asked_to_stop() -> None:
    error = error_of(WorkerEnd(1, -signal.SIGKILL), failed(0, ExitCode.CHECKPOINTED))
    assert error.exit_code == ExitCode.INTERNAL


def test_without_a_cause_in_this_pod_contact_was_lost() -> None:
    with pytest.raises(LostContact):
        verdict([WorkerEnd(0, LOST_CONTACT), WorkerEnd(1, LOST_CONTACT)], 4)
