"""JSON as rows hold it: strict, bounded, and with words for what is wrong."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NoReturn

from lora_contract.counts import counted
from lora_trainer.data.rows import Place, RawRow


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"has {name}, which is not JSON; write null or leave the field out")


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts
        raise ValueError(f"has a number of {counted(len(digits), 'digit')}; write it as a text") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):  # Python would keep the last of two values and drop the other
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"names the key {key[:_LONGEST_KEY]!r} twice in one object; keep one of them")
    return made


DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_integer, object_pairs_hook=_object)

_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
#: What the decoder leaves of an escape or a number that ends early.
_HALF_ESCAPE_OR_NUMBER = re.compile(r"\\?u?[0-9a-fA-F]{0,4}|\.|\.?[eE][+-]?")
_LONGEST_REST = 10
_LONGEST_KEY = 100


def ends_early(error: json.JSONDecodeError) -> bool:
    """Tell whether a text that is not JSON is the beginning of one that is: nothing is wrong but that it ends."""
    if error.msg.startswith("Unterminated string"):
        return True
    rest = error.doc[error.pos : error.pos + _LONGEST_REST].strip()
    if len(rest) == _LONGEST_REST:
        return False
    if not rest or any(literal.startswith(rest) for literal in _LITERALS):
        return True
    return _HALF_ESCAPE_OR_NUMBER.fullmatch(rest) is not None


def problem_of(error: ValueError | RecursionError) -> str:
    """Say what is wrong with a text that is not JSON as rows hold it, behind the name of its place."""
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error.msg} at column {error.colno}"
    return "is nested too deeply" if isinstance(error, RecursionError) else str(error)


def why_not(error: ValueError | RecursionError) -> str:
    """Say the same behind a sentence that already tells of a text that is not JSON."""
    problem = problem_of(error)
    return problem.removeprefix("is not JSON: ") if isinstance(error, json.JSONDecodeError) else f"it {problem}"


def as_row(value: Any, place: Place) -> RawRow:
    """Make a row of a JSON value; of one that is no object, a row that says so."""
    if not isinstance(value, dict):
        return RawRow(place, None, f"is {json_type(value)}, expected an object with columns as keys")
    return RawRow(place, value)


def json_type(value: Any) -> str:
    """Name the JSON type of a value, with its article."""
    names = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")


def without_nulls(value: Any) -> Any:
    """Copy a value without the keys of its objects, however deep, whose value is null."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value
