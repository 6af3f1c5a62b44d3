"""Losses along the way of a run, as its metrics.jsonl has them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lora_pages.points import Point

#: A line of the file has some 200 bytes: that is more than 100,000 steps.
LARGEST = 32 << 20


@dataclass(frozen=True)
class RunCurves:
    """Losses by step: of training, and of the evaluations during it."""

    training: tuple[Point, ...] = ()
    evaluation: tuple[Point, ...] = ()


def parse_curves(content: bytes) -> RunCurves:
    """Read a metrics.jsonl; lines of another form are passed over, and so are values that are no finite numbers."""
    entries = list(_entries(content))
    return RunCurves(_points(entries, "loss"), _points(entries, "eval_loss"))


def _entries(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), int) and 0 < entry["step"] < 2**53:
            yield entry


def _points(entries: list[dict[str, Any]], key: str) -> tuple[Point, ...]:
    values = {entry["step"]: entry[key] for entry in entries if _is_number(entry.get(key))}
    return tuple(Point(step, float(values[step])) for step in sorted(values))


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
