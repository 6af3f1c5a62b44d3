"""Each known fault of a row has one message that names it, and docs/row-faults.md shows them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.fault_rows import FAULTS, GOOD, Fault
from support.known_faults import PAGE, page, prepared, told

CASES = {f"{title}: {name}": fault for title, faults in FAULTS.items() for name, fault in faults.items()}


@pytest.mark.parametrize("case", CASES)
def test_a_known_fault_is_named_with_what_to_do(case: str, tmp_path: Path) -> None:
    problem, advice = told(CASES[case], tmp_path)

    assert problem
    assert advice
    # Both are sentences, and no value of ours shines through.
    assert not any(word in problem + advice for word in ("None", "Error", "{", "\n"))


def test_a_file_with_all_known_faults_leaves_each_row_out_and_keeps_the_good_one(tmp_path: Path) -> None:
    faults = [fault for fault in CASES.values() if _is_plain(fault)]
    assert len(faults) > 40

    profile = prepared(GOOD + b"".join(fault.line for fault in faults), faults[0], tmp_path, dataset__onBadRows="Skip")

    assert profile.bad_rows == len(faults)
    assert profile.rows["train"] == 1
    # Each is told by its line with what is said of it alone.
    for number, (fault, example) in enumerate(zip(faults, profile.bad_row_examples, strict=False), start=2):
        problem = told(fault, tmp_path).problem
        assert example.startswith(f"rows.jsonl, line {number}: {problem[:300]}")


def _is_plain(fault: Fault) -> bool:
    """Whether a row can stand in one file with the others: of one format, template and spec."""
    return fault.good == GOOD and fault.family == "qwen3" and not fault.changes


def test_the_page_of_faults_is_current() -> None:
    assert PAGE.read_text() == page(), "make docs-faults"
