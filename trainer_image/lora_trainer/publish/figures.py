"""Figures in what is published are numbers; in a status they are decimal texts, as Kubernetes' API conventions ask."""

from __future__ import annotations

from contextlib import suppress
from typing import Any


def with_numbers(figures: Any) -> Any:
    """Make numbers of the decimal texts in the metrics of a status; names stay what they are."""
    if isinstance(figures, dict):
        return {key: value if key == "name" else with_numbers(value) for key, value in figures.items()}
    if isinstance(figures, list):
        return [with_numbers(value) for value in figures]
    if isinstance(figures, str):
        with suppress(ValueError):
            return float(figures)
    return figures


def with_texts(figures: Any) -> Any:
    """Make the metrics of a status of published ones; those of earlier versions are texts already."""
    if isinstance(figures, dict):
        return {key: with_texts(value) for key, value in figures.items()}
    if isinstance(figures, list):
        return [with_texts(value) for value in figures]
    return f"{figures:.6g}" if isinstance(figures, float) else figures
