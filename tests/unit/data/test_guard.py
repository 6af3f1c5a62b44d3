"""What a row may cost is bounded, in whatever it is spent, and the words say what was done at the time."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

from lora_trainer.data import guard
from lora_trainer.data.guard import CpuTimeExceeded, Guard, Phase, Position, TooSlow, breakdown

_ONE_OPERATION = textwrap.dedent("""
    from itertools import repeat
    from lora_trainer.data import guard
    guard.ROW_CPU_SECONDS, guard.OPERATION_CPU_SECONDS = 0.1, 0.3
    watch = guard.Guard()
    watch.enforce()
    with watch.cpu_limit():
        sum(repeat(1, 10**13))
""")


def test_one_operation_that_no_signal_interrupts_ends_with_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", _ONE_OPERATION], check=False, timeout=60)

    assert ended.returncode == -signal.SIGPROF


def test_checks_of_all_rows_together_are_bounded_also_where_they_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    # given rows of which each may cost little, and all together nothing
    monkeypatch.setattr(guard, "ALL_ROWS_SECONDS", 0)
    monkeypatch.setattr(guard, "MEAN_ROW_SECONDS", 0)

    # when the check of one of them is broken off, then the sum counts
    with pytest.raises(TooSlow, match="for 1 rows"), Guard().checking():
        raise CpuTimeExceeded


def test_a_process_that_breaks_down_while_it_does_two_things_is_told_with_both() -> None:
    files = [("a.jsonl", "jsonl")]

    alone = breakdown(Position(Phase.RENDERING, 0, 7, 1), files, "org/model", "crashed")
    both = breakdown(Position(Phase.RENDERING, 0, 7, 1, tokenising=True), files, "org/model", "crashed")

    assert alone.message == "a.jsonl, line 7: rendering the row with the chat template of org/model crashed"
    assert both.message == (
        "a.jsonl, line 7: rendering the row with the chat template of org/model,"
        " or tokenising the rows before it, crashed"
    )
