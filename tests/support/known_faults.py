"""What is said of a row with each known fault, as docs/row-faults.md shows it.

`python -m support.known_faults` (with tests and the product on the path; `make docs-faults`) writes the page.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lora_trainer.data import pipeline
from lora_trainer.data.profile import DataProfile
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.errors import TrainerError
from support.fault_rows import FAULTS, Fault
from support.prepared_data import data_file, spec
from support.published_templates import template

PAGE = Path(__file__).parents[2] / "docs" / "row-faults.md"
_NAME = "rows.jsonl"
_HEAD = """# What is said of bad rows

What a run says of a row with each known fault, behind the place of the row (`rows.jsonl, line 7: ...`), and what it
advises. With `dataset.onBadRows: Skip` such rows are left out and counted. [What a row may say](conversations.md) has
the rules. `make docs-faults` writes this page with the rows of `tests/support/fault_rows.py`; a test
(`tests/unit/data/test_known_faults.py`) fails when it is not current.
"""


class Told(NamedTuple):
    """What is said of a row: the message behind its place, and what to do."""

    problem: str
    advice: str


def told(fault: Fault, folder: Path) -> Told:
    """Read a good row, then the one with the fault, and return what is said of it."""
    try:
        prepared(fault.good + fault.line, fault, folder)
    except TrainerError as error:
        place, _, problem = error.message.partition(", line 2: ")
        if place == _NAME and error.param == f"{_NAME}:2":
            return Told(problem, error.hint or "")
        raise
    raise AssertionError("the row is taken")


def prepared(content: bytes, fault: Fault, folder: Path, **changes: object) -> DataProfile:
    """Prepare a file with the template that a fault is about."""
    (folder / "out").mkdir(exist_ok=True)
    dataset = Dataset([data_file(folder, _NAME, content)])
    made = spec(**{"training__maxLength": 8192, **fault.changes, **changes})
    return pipeline.run(made, dataset, template(fault.family), folder / "out")


def page() -> str:
    """The page."""
    with tempfile.TemporaryDirectory() as folder:
        return _HEAD + "".join(_sections(Path(folder)))


def _sections(folder: Path) -> Iterator[str]:
    for title, faults in FAULTS.items():
        yield f"\n## {title}\n\n| fault | message | what to do |\n|---|---|---|\n"
        for name, fault in faults.items():
            problem, advice = (_cell(text) for text in told(fault, folder))
            yield f"| {name} | {problem} | {advice} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page())
