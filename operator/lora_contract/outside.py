"""What comes from outside: words and numbers of pods, tenants and other controllers, made harmless where they enter.

Texts are cut and freed of what moves a terminal's cursor or turns its writing round, numbers are clamped, parts of a
wrong form are dropped. Nothing here raises for what somebody may have written.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

#: Whole numbers up to here are exact in JSON, and sums of some hundred of them fit the API server's integers.
LARGEST = 2**53
#: Longest word for programs, in bytes: reasons, names of nodes and queues.
MAX_WORD = 253
#: Longest text for people, in bytes: the messages of our own conditions have the same limit.
MAX_TEXT = 1024
#: Longest of all texts in bytes: an address in S3 has a bucket of 63 and a key of 1024.
_LONGEST = 2048
_MOST_ITEMS = 256

ModelT = TypeVar("ModelT", bound=BaseModel)


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Cut a text to at most `limit` bytes and mark where it was cut.

    What is not printable becomes a space (control characters, escapes, marks that turn the direction of writing): the
    text ends in terminals, and JSON would need six bytes for each.
    """
    printable = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    raw = printable.encode()
    if len(raw) <= limit:
        return printable
    return raw[: limit - 3].decode("utf-8", "ignore") + "..."


def text_of(value: object, limit: int = MAX_TEXT) -> str:
    """Return a text made harmless; empty where there is none."""
    return shorten(value, limit) if isinstance(value, str) else ""


def clamp(number: float) -> float:
    """Return the number from 0 to `LARGEST` that is nearest; 0 for what is none."""
    return 0.0 if math.isnan(number) else min(max(number, 0.0), float(LARGEST))


def bounded(value: Any) -> Any:
    """Return decoded JSON with its texts cut and its numbers clamped, and lists of at most 256 items."""
    if isinstance(value, str):
        return shorten(value, _LONGEST)
    if isinstance(value, int) and not isinstance(value, bool):
        return min(max(value, 0), LARGEST)
    if isinstance(value, float):
        return clamp(value)
    if isinstance(value, list):
        return [bounded(item) for item in value[:_MOST_ITEMS]]
    if isinstance(value, dict):
        return {key: bounded(item) for key, item in value.items()}
    return value


def salvaged(model: type[ModelT], data: Any) -> ModelT | None:
    """Return the model of decoded JSON without what is wrong in it: the smallest parts are dropped, texts cut.

    None where something is wrong or missing without which the whole means nothing. `data` is changed.
    """
    while True:
        try:
            return model.model_validate(data)
        except ValidationError as error:
            # One at a time, from the end: the items of a list move up when one before them goes.
            wrong = error.errors(include_url=False, include_input=False)[-1]
            place = wrong["loc"][:-1] if wrong["type"] == "missing" else wrong["loc"]
            limit = wrong["ctx"]["max_length"] if wrong["type"] == "string_too_long" else None
            if not _mend(data, place, limit):
                return None


def _mend(data: Any, place: tuple[int | str, ...], limit: int | None) -> bool:
    """Cut the text at a place, or drop what is there; False where that is the whole."""
    parent, last = None, None
    for step in place:  # a place may end in the name of a type, which is none in the data
        if not _has(data, step):
            break
        parent, last, data = data, step, data[step]
    if parent is None:
        return False
    if limit is not None and isinstance(data, str):
        parent[last] = shorten(data, limit)
    else:
        del parent[last]
    return True


def _has(data: Any, step: int | str) -> bool:
    if isinstance(data, list):
        return isinstance(step, int) and step < len(data)
    return isinstance(data, dict) and step in data
