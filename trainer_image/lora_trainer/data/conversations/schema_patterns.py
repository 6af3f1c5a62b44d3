"""Patterns in JSON schemas, which are those of ECMA-262: what Python's `re` cannot read is read by `regex`.

What neither can read is not checked: a row is not refused for what its own tools understand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import regex
from jsonschema.exceptions import ValidationError

from lora_trainer.data.guard import ROW_CPU_SECONDS, CpuTimeExceeded

#: Whether a text matches a pattern.
Matches = Callable[[str], bool]


@lru_cache(maxsize=1024)
def matcher(pattern: str) -> Matches | None:
    """Give what looks for a pattern in a text; None: the pattern cannot be read."""
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return _extended_matcher(pattern)
    return lambda text: compiled.search(text) is not None


def _extended_matcher(pattern: str) -> Matches | None:
    try:
        compiled = regex.compile(pattern.replace(r"\k<", r"\g<"))
    except (regex.error, OverflowError, RecursionError, ValueError):
        return None

    def matches(text: str) -> bool:
        try:
            return compiled.search(text, timeout=ROW_CPU_SECONDS) is not None
        except TimeoutError as error:
            raise CpuTimeExceeded(f"takes more than {ROW_CPU_SECONDS:.0f} s of processor time") from error

    return matches


def unreadable(schema: Any) -> Iterator[str]:
    """Yield the patterns in a schema that are not checked."""
    left = [schema]
    while left:
        inner = left.pop()
        if isinstance(inner, list):
            left += inner
        elif isinstance(inner, Mapping):
            left += inner.values()
            by_pattern = inner.get("patternProperties")
            names = list(by_pattern) if isinstance(by_pattern, Mapping) else []
            yield from (each for each in (inner.get("pattern"), *names) if isinstance(each, str) and not matcher(each))


def keywords(draft: Any) -> dict[str, Any]:
    """Give the keywords of a draft that match patterns, to be replaced in its validator."""
    additional = draft.VALIDATORS["additionalProperties"]

    def additional_properties(validator: Any, allowed: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        patterns = schema.get("patternProperties") or {}
        if patterns and validator.is_type(value, "object"):
            matchers = [matcher(pattern) for pattern in patterns]
            value = {name: item for name, item in value.items() if not any(m is None or m(name) for m in matchers)}
            schema = {key: item for key, item in schema.items() if key != "patternProperties"}
        yield from additional(validator, allowed, value, schema) or ()

    return {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": additional_properties,
    }


def _pattern(validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    matches = matcher(pattern)
    if matches is not None and validator.is_type(value, "string") and not matches(value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, value: Any, _schema: Any) -> Iterator[ValidationError]:
    if not validator.is_type(value, "object"):
        return
    for pattern, schema in patterns.items():
        matches = matcher(pattern)
        for name, item in value.items():
            if matches is not None and matches(name):
                yield from validator.descend(item, schema, path=name, schema_path=pattern)
