"""YAML as kubectl reads it, or words for what is wrong with it.

kubectl turns YAML into JSON with https://pkg.go.dev/sigs.k8s.io/yaml, which resolves plain scalars by the table of
go.yaml.in/yaml/v2 (resolve.go): a date is text, `2e-4` a number, `yes` and `on` are booleans.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

#: What the API server takes in one request, and what no manifest of ours comes near: an alias may repeat its anchor.
_MAX_TEXT = 3 << 20
_MAX_VALUES = 100_000
_MAX_DEPTH = 50


class DocumentError(ValueError):
    """A document cannot be taken. `faults` has a line for each cause."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def read_documents(text: str) -> list[Any]:
    """The documents of a file as JSON: dicts, lists, text, numbers, booleans and None. Empty ones are left out.

    Raises:
        DocumentError: it is not YAML, names a key twice, or holds what JSON cannot say.
    """
    if len(text) > _MAX_TEXT:
        raise DocumentError(f"has more than {_MAX_TEXT >> 20} MiB, which no API server takes")
    try:
        found = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        raise DocumentError(f"{_place(error.problem_mark)}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise DocumentError(f"is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise DocumentError("is nested too deeply") from None
    return [_as_json(document, iter(range(_MAX_VALUES)), 0) for document in found]


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML has it

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice: one of the two would vanish without a word."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key.start_mark)
            if key.value in lines and key.tag != _TAG + "merge":
                problem = f"key {key.value} stands here and in line {lines[key.value]}; remove one of them"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)


_TAG = "tag:yaml.org,2002:"
_RESOLVERS = (
    ("bool", r"y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0[bB][01_]+|0[oO]?[0-7_]+|0[xX][0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?([.][0-9]+|[0-9][0-9_]*([.][0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?[.](inf|Inf|INF)|[.](nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
)
for _name, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), list(_first))


def _boolean(_: yaml.SafeLoader, node: yaml.ScalarNode) -> bool:
    return str(node.value).lower() in ("y", "yes", "true", "on")


def _integer(_: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(node.value).replace("_", "")
    octal = re.fullmatch(r"([-+]?)0[oO]?([0-7]+)", text)
    return int(octal[1] + octal[2], 8) if octal else int(text, 0)


_Loader.add_constructor(_TAG + "bool", _boolean)
_Loader.add_constructor(_TAG + "int", _integer)


def _place(mark: yaml.Mark | None) -> str:
    return "is not YAML" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


def _as_json(value: Any, room: Iterator[int], depth: int) -> Any:
    """The value as JSON has it: keys are text, and a number without a fraction is a whole number."""
    if next(room, None) is None or depth > _MAX_DEPTH:
        raise DocumentError("holds more than any manifest does; do its aliases repeat themselves?")
    if isinstance(value, dict):
        return {_key(key): _as_json(item, room, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item, room, depth + 1) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DocumentError(f"{value} is no number of JSON")
        return int(value) if value.is_integer() and abs(value) < 1e21 else value
    if value is None or isinstance(value, str | int):
        return value
    raise DocumentError(f"a value of type {type(value).__name__} is none of JSON; write it as text, in quotes")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if not isinstance(key, str | int | float):
        raise DocumentError("a key must be text")
    return str(key)
