"""The history of a run: one line for each step that has figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lora_trainer.publish.figures import with_numbers
from lora_trainer.report import Curves, Point

_KEPT = ("loss", "grad_norm", "learning_rate", "seconds", "tokens", "peak_memory_bytes")
_OF_EVALUATIONS = "eval_"


def by_step(log_history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Merge the trainer's log into one entry a step, in order; of a step that was done again the last figures count."""
    steps: dict[int, dict[str, Any]] = {}
    for entry in log_history:
        figures = {key: value for key, value in entry.items() if key in _KEPT or key.startswith(_OF_EVALUATIONS)}
        if figures:
            step = int(entry["step"])
            steps.setdefault(step, {"step": step}).update(figures)
    return [steps[step] for step in sorted(steps)]


def write_metrics(path: Path, history: list[dict[str, Any]], final: dict[str, Any]) -> None:
    """Write metrics.jsonl: the steps, then one line with the final figures, which a status has as texts."""
    lines = [*history, {"final": with_numbers({key: value for key, value in final.items() if value is not None})}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def curves(history: list[dict[str, Any]], best_step: int | None) -> Curves:
    """Make curves of it for the report."""

    def points(key: str) -> tuple[Point, ...]:
        return tuple(Point(entry["step"], float(entry[key])) for entry in history if key in entry)

    return Curves(points("loss"), points("eval_loss"), points("learning_rate"), best_step)


def at(history: list[dict[str, Any]], step: int, key: str) -> float | None:
    """Find the value of a figure at a step."""
    return next((float(entry[key]) for entry in history if entry["step"] == step and key in entry), None)


def last(history: list[dict[str, Any]], key: str) -> float | None:
    """Find the latest value of a figure."""
    return next((float(entry[key]) for entry in reversed(history) if key in entry), None)
