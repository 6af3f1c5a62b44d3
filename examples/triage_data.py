"""Writes the quickstart's data: short triage notes and the form a nurse would fill in, as chat messages.

python examples/triage_data.py triage.jsonl --rows 400 --seed 7
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DEFAULT_ROWS = 400
DEFAULT_SEED = 7


class Complaint(NamedTuple):
    """A complaint and who sees it."""

    name: str
    department: str


COMPLAINTS = (
    Complaint("chest pain", "cardiology"),
    Complaint("palpitations", "cardiology"),
    Complaint("headache", "neurology"),
    Complaint("dizziness", "neurology"),
    Complaint("ankle injury", "orthopedics"),
    Complaint("back pain", "orthopedics"),
    Complaint("skin rash", "dermatology"),
    Complaint("arm burn", "dermatology"),
)
SEVERITIES = {
    "high": ("severe and getting worse", "sudden and severe", "unbearable"),
    "medium": ("moderate", "moderate, comes and goes", "steady and moderate"),
    "low": ("mild", "mild, already better", "only slight"),
}
TEMPLATES = (
    "{age} year old {sex} with {complaint} since {since}, {severity}.",
    "Patient is a {sex}, {age}. Reports {complaint} for {since}. It is {severity}.",
    "{sex}, age {age}: {complaint}, {severity}, started {since} ago.",
)
SINCE = ("one hour", "three hours", "this morning", "yesterday", "two days", "a week")


def rows(count: int, seed: int) -> Iterator[dict[str, object]]:
    """Rows with distinct notes, the same for the same seed."""
    source = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        note, form = _case(source)
        if note not in seen:
            seen.add(note)
            yield {
                "messages": [
                    {"role": "user", "content": note},
                    {"role": "assistant", "content": json.dumps(form)},
                ]
            }


def _case(source: random.Random) -> tuple[str, dict[str, object]]:
    complaint = source.choice(COMPLAINTS)
    urgency = source.choice(tuple(SEVERITIES))
    age, sex = source.randint(18, 89), source.choice(("man", "woman"))
    note = source.choice(TEMPLATES).format(
        age=age,
        sex=sex,
        complaint=complaint.name,
        severity=source.choice(SEVERITIES[urgency]),
        since=source.choice(SINCE),
    )
    note = note[0].upper() + note[1:]
    form = {"age": age, "sex": sex, "complaint": complaint.name, "urgency": urgency, "department": complaint.department}
    return note, form


def write(path: Path, count: int = DEFAULT_ROWS, seed: int = DEFAULT_SEED) -> None:
    """Write `count` rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(count, seed)), encoding="utf-8")


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    options = parser.parse_args()
    write(options.file, options.rows, options.seed)


if __name__ == "__main__":
    main()
