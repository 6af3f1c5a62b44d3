"""What charts are drawn from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One value of a curve. `step` counts optimiser steps from 1, or is what else the chart's axis counts."""

    step: int
    value: float


@dataclass(frozen=True)
class Bar:
    """One bar of the histogram: rows whose length in tokens lies from `low` (inclusive) to `high` (exclusive)."""

    low: int
    high: int
    rows: int
