"""What a run had to reach, and whether it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lora_cli.run import Run
from lora_contract.reasons import Reason


def limits(run: Run) -> Mapping[str, Any]:
    """Return the limits of the quality gate of a run, by field of evaluation.gate; empty where it has none."""
    gate = run.part("evaluation").get("gate")
    return gate if isinstance(gate, Mapping) else {}


def verdict(run: Run) -> str:
    """Tell whether a run passed its quality gate: passed, missed or not known yet; empty where it has none."""
    if run.status.error is not None and run.status.error.code == Reason.QUALITY_GATE_FAILED:
        return "missed"
    if not limits(run):
        return ""
    return "passed" if run.status.artifact is not None else "not known yet"


def missed(run: Run) -> str:
    """Name the limit that a run missed, with its figures; empty where it missed none."""
    return run.status.error.message if run.status.error is not None and verdict(run) == "missed" else ""
