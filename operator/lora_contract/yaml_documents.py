"""YAML as kubectl reads it, or words for what is wrong with it.

kubectl turns YAML into JSON with https://pkg.go.dev/sigs.k8s.io/yaml, which resolves plain scalars by the table of
go.yaml.in/yaml/v2 (resolve.go): a date is text, `2e-4` a number, `yes` and `on` are booleans.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator
from typing import Any

import yaml

#: What the API server takes in one request, and what no manifest of ours comes near: an alias may repeat its anchor.
_MAX_TEXT = 3 << 20
_MAX_VALUES = 100_000
_MAX_DEPTH = 50
_TOO_MUCH = "holds more than any manifest does; do its aliases repeat themselves?"


class DocumentError(ValueError):
    """A document cannot be taken. `faults` has a line for each cause."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def read_documents(content: str | bytes) -> list[Any]:
    """Read the documents of a file as JSON: dicts, lists, text, numbers, booleans, None. Empty ones are left out.

    Raises:
        DocumentError: it is neither UTF-8 nor YAML, names a key twice, or holds what JSON cannot say.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
    except UnicodeDecodeError:
        raise DocumentError("is not UTF-8 text") from None
    if len(text) > _MAX_TEXT:
        raise DocumentError(f"has more than {_MAX_TEXT >> 20} MiB, which no API server takes")
    try:
        found = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "is not YAML" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
        raise DocumentError(f"{place}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise DocumentError(f"is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise DocumentError("is nested too deeply") from None
    except DocumentError:
        raise
    except (ValueError, OverflowError) as error:  # of numbers in escapes and directives
        raise DocumentError(f"is not YAML: {error}") from None
    return [_as_json(document, iter(range(_MAX_VALUES))) for document in found]


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML has it

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._nodes = self._merged = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse a file of too many values before they take minutes to read."""
        self._nodes += 1
        if self._nodes > _MAX_VALUES:
            raise DocumentError(_TOO_MUCH)
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Name the place of a value that is not what its tag says."""
        try:
            return super().construct_object(node, deep=deep)
        except DocumentError:
            raise
        except (ValueError, TypeError, AttributeError, OverflowError):
            kind = node.tag.removeprefix(_TAG)
            raise _failure(f"this is no {kind} that can be read; write it as text, in quotes", node) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key that stands twice: one of the two would vanish silently."""
        if not isinstance(node, yaml.MappingNode):
            raise _failure("expected a mapping of keys to values", node)
        self.flatten_mapping(node)
        made: dict[Hashable, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value in node.value:
            key = _key(self.construct_object(_scalar(key_node), deep=True))
            if key in lines:
                raise _failure(f"key {key} stands here and in line {lines[key]}; remove one of them", key_node)
            lines[key] = key_node.start_mark.line + 1
            made[key] = self.construct_object(value, deep=deep)
        return made

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Take in what `<<` names: a mapping's own keys come first, then those of the earlier of several mappings."""
        sources = [source for key, source in node.value if key.tag == _TAG + "merge"]
        if not sources:
            return
        node.value = [pair for pair in node.value if pair[0].tag != _TAG + "merge"]
        known = {_scalar(key).value for key, _ in node.value}
        each = (one for source in sources for one in _mappings(source))
        for mapping in {id(one): one for one in each}.values():
            self.flatten_mapping(mapping)
            for key, value in mapping.value:
                self._merged += 1
                if self._merged > _MAX_VALUES:
                    raise DocumentError(_TOO_MUCH)
                if _scalar(key).value not in known:
                    known.add(key.value)
                    node.value.append((key, value))


def _failure(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _scalar(key: yaml.Node) -> yaml.ScalarNode:
    if not isinstance(key, yaml.ScalarNode):
        raise _failure("a key must be text", key)
    return key


def _mappings(source: yaml.Node) -> list[yaml.MappingNode]:
    """List the mappings that `<<` stands before: one, or a list."""
    found = source.value if isinstance(source, yaml.SequenceNode) else [source]
    for each in found:
        if not isinstance(each, yaml.MappingNode):
            raise _failure("expected a mapping or list of mappings for merging", each)
    return list(found)


_TAG = "tag:yaml.org,2002:"
_RESOLVERS = (
    ("bool", r"y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (
        "int",
        r"[-+]?(0[bB]_*[01][01_]*|0[oO]?_*[0-7][0-7_]*|0[xX]_*[0-9a-fA-F][0-9a-fA-F_]*|0|[1-9][0-9_]*)",
        "-+0123456789",
    ),
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
    text = str(node.value).lower()
    if text not in ("y", "yes", "true", "on", "n", "no", "false", "off"):
        raise ValueError(text)
    return text in ("y", "yes", "true", "on")


def _integer(_: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(node.value).replace("_", "")
    octal = re.fullmatch(r"([-+]?)0[oO]?([0-7]+)", text)
    number = int(octal[1] + octal[2], 8) if octal else int(text, 0)
    float(number)  # raises for what no number of JSON holds
    return number


def _null(_: yaml.SafeLoader, node: yaml.ScalarNode) -> None:
    if str(node.value).lower() not in ("", "~", "null"):
        raise ValueError(node.value)


_Loader.add_constructor(_TAG + "bool", _boolean)
_Loader.add_constructor(_TAG + "null", _null)
_Loader.add_constructor(_TAG + "int", _integer)


def _as_json(value: Any, room: Iterator[int], *path: str) -> Any:
    """Return the value at `path` as JSON has it: keys are text, a number without a fraction is a whole number."""
    if next(room, None) is None or len(path) > _MAX_DEPTH:
        raise DocumentError(_TOO_MUCH)
    if isinstance(value, dict):
        return {_text(_key(key), *path): _as_json(item, room, *path, _key(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item, room, *path, str(index)) for index, item in enumerate(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _problem(f"{value} is no number of JSON", *path)
        return int(value) if value.is_integer() and abs(value) < 1e21 else value
    if isinstance(value, str):
        return _text(value, *path)
    if value is None or isinstance(value, int):
        return value
    raise _problem(f"a value of type {type(value).__name__} is none of JSON; write it as text, in quotes", *path)


def _problem(text: str, *path: str) -> DocumentError:
    return DocumentError(f"{'.'.join(path)}: {text}" if path else text)


def _text(text: str, *path: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _problem("a text has half of a surrogate pair, which is no character", *path) from None
    return text


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if not isinstance(key, str | int | float):
        raise DocumentError("a key must be text")
    return str(key)
