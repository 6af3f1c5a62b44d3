"""What is left of a status that the API server refuses in part: its CRD is of another release than the operator."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lora_contract.outside import shorten
from lora_operator.effects.api.client import Cause

_SAID = "Not told in this status, because the CRD of the cluster refuses it:"
_REMEDY = "Update the CRDs to the release of the operator."


def without(causes: Iterable[Cause], status: Mapping[str, Any]) -> dict[str, Any] | None:
    """Drop the fields that are refused from a status. None: none of them is a part of the status.

    Of a field that is refused because something is missing in it, the whole goes.
    """
    rest = copy.deepcopy(dict(status))
    paths = {tuple(_found(_steps(cause.field), rest)) for cause in causes}
    # From the end: the items of a list move up when one before them goes.
    for path in sorted(paths - {()}, key=lambda path: [(isinstance(step, int), step) for step in path], reverse=True):
        _drop(path, rest)
    return None if rest == status else rest


def said_of(causes: Iterable[Cause], status: Mapping[str, Any]) -> dict[str, Any]:
    """Add a warning that names what is refused; an earlier one goes.

    The status of a sweep has no warnings, and neither has one in which they are what is refused.
    """
    fields = sorted({cause.field for cause in causes})
    earlier = status.get("warnings")
    if earlier is None or any(field.startswith("status.warnings") for field in fields):
        return dict(status)
    warnings = [text for text in earlier if not text.startswith(_SAID)]
    if fields:
        warnings.append(shorten(f"{_SAID} {', '.join(fields)}. {_REMEDY}"))
    return {**status, "warnings": warnings}


def unknown(patch: Mapping[str, Any], stored: Mapping[str, Any], path: str = "status") -> Iterator[Cause]:
    """Find the fields of a merge patch that the API server dropped, because its CRD does not know them."""
    for name, value in patch.items():
        if value is not None and name not in stored:
            yield Cause(f"{path}.{name}", "unknown to the CRD")
        elif isinstance(value, Mapping) and isinstance(stored.get(name), Mapping):
            yield from unknown(value, stored[name], f"{path}.{name}")


def _steps(field: str) -> list[str | int]:
    """Split the path of a field into steps: `status.conditions[2].type` gives conditions, 2, type."""
    words = re.findall(r"[^.\[\]]+", field)
    return [int(word) if word.isdecimal() else word for word in words[1:]] if words[:1] == ["status"] else []


def _found(steps: list[str | int], value: Any) -> list[str | int]:
    """Follow the steps as far as there is something."""
    found: list[str | int] = []
    for step in steps:
        there = (
            isinstance(step, int) and step < len(value)
            if isinstance(value, list)
            else isinstance(value, dict) and step in value
        )
        if not there:
            break
        found.append(step)
        value = value[step]
    return found


def _drop(path: tuple[str | int, ...], value: Any) -> None:
    for step in path[:-1]:
        value = value[step]
    del value[path[-1]]
