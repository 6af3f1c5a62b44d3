"""When two calls are the same: name and arguments, as values of JSON."""

from __future__ import annotations

from typing import Any

from lora_trainer.data.rows import ToolCall
from lora_trainer.data.tool_calls.literals import LiteralError, whole_literal


class Unquoted(str):
    """A value that was written without quotes: only what was expected tells whether it is a text."""

    __slots__ = ()


def same_call(given: ToolCall, wanted: ToolCall) -> bool:
    """Tell whether a call that was read is the one that was wanted."""
    return given.name == wanted.name and equal(given.arguments, wanted.arguments)


def equal(given: Any, wanted: Any) -> bool:
    """Tell whether two values of JSON are equal: 1 is 1.0 and not true, the order of keys means nothing.

    Values may be nested as deeply as they like: nothing here recurses.
    """
    pairs = [(given, wanted)]
    while pairs:
        a, b = pairs.pop()
        if isinstance(a, Unquoted) and not isinstance(b, str):
            try:
                a = whole_literal(a)
            except LiteralError:
                return False
        if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            pairs += [(a[key], b[key]) for key in a]
        elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            pairs += zip(a, b, strict=True)
        elif not _equal_scalars(a, b):
            return False
    return True


def _equal_scalars(a: Any, b: Any) -> bool:
    if isinstance(a, dict | list) or isinstance(b, dict | list) or isinstance(a, bool) is not isinstance(b, bool):
        return False
    return bool(a == b)
