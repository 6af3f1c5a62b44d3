"""What a row may cost is bounded, in whatever it is spent, and the words say what was done at the time."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.data import guard
from lora_trainer.data.guard import CpuTimeExceeded, Guard, Phase, Position, TooSlow, breakdown
from lora_trainer.errors import TrainerError
from support.prepared_data import chat, data_file, lines, run

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
    with pytest.raises(TooSlow, match="for 1 row"), Guard().checking():
        raise CpuTimeExceeded


@pytest.mark.parametrize("skip", ["Fail", "Skip"])
def test_rows_that_cost_too_much_for_the_size_of_their_file_are_named(
    skip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A small file may take half a second, and each of its rows takes some hundredths of one.
    monkeypatch.setattr(guard, "DATA_CPU_SECONDS", 0.5)
    monkeypatch.setattr(guard, "BYTE_CPU_SECONDS", 1e-6)
    talks = [chat(f"Question {number}?", *["the same words again"] * 201) for number in range(100)]
    file = data_file(tmp_path, "a.jsonl.gz", lines(talks))

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [file], dataset__onBadRows=skip)

    assert raised.value.exit_code is ExitCode.BAD_DATA
    found = re.fullmatch(
        r"a.jsonl.gz, line (\d+): the rows up to here took \d+ s of processor time, too much for [\d,]+ bytes of files",
        raised.value.message,
    )
    assert found is not None, raised.value.message
    assert 1 < int(found[1]) < 100, found[1]
    assert raised.value.param == f"a.jsonl.gz:{found[1]}"
    assert "split conversations of very many turns" in str(raised.value.hint)


def test_tool_schemas_that_take_long_in_each_row_are_bounded_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each row tries a pattern that takes a tenth of a second, and is bad; bad rows are left out.
    monkeypatch.setattr(guard, "DATA_CPU_SECONDS", 0.3)
    monkeypatch.setattr(guard, "BYTE_CPU_SECONDS", 1e-6)
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(x+x+)+y"}}}
    tools = [{"type": "function", "function": {"name": "see", "parameters": schema}}]
    call = {"function": {"name": "see", "arguments": {"a": "x" * 21}}}
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Look {number}"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
            ],
            "tools": tools,
        }
        for number in range(100)
    ]

    with pytest.raises(TrainerError, match=r"the rows up to here took .* of processor time") as raised:
        run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))], dataset__onBadRows="Skip")

    assert "simplify the schemas of tools" in str(raised.value.hint)


def test_a_process_that_breaks_down_while_it_does_two_things_is_told_with_both() -> None:
    files = [("a.jsonl", "jsonl")]

    alone = breakdown(Position(Phase.RENDERING, 0, 7, 1), files, "org/model", "crashed")
    both = breakdown(Position(Phase.RENDERING, 0, 7, 1, tokenising=True), files, "org/model", "crashed")

    assert alone.message == "a.jsonl, line 7: rendering the row with the chat template of org/model crashed"
    assert both.message == (
        "a.jsonl, line 7: rendering the row with the chat template of org/model,"
        " or tokenising the rows before it, crashed"
    )
