"""A LoRAFineTune in a YAML file, read as kubectl and the API server read it: what one refuses the other does too.

kubectl turns YAML into JSON with sigs.k8s.io/yaml, whose rules are those of go-yaml 2
(https://github.com/kubernetes-sigs/yaml/blob/master/goyaml.v2/resolve.go): a date is text, `08` and `1e3` are
numbers, nothing counts in sixties, and a whole number may be written as `4.0`. A key that is written twice is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from lora_contract import names
from lora_contract.base import explained
from lora_contract.crd.resources import FINE_TUNE
from lora_contract.finetune import LoRAFineTuneSpec

_TAG = "tag:yaml.org,2002:"
#: Above it Go writes whole floats with an exponent, and JSON readers take them for no integer.
_LARGEST_WHOLE_FLOAT = 1e21
_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class InvalidManifestError(Exception):
    """A file or an object in it is refused; `lines` say why, one for each field."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        super().__init__("; ".join(lines))


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the types of go-yaml 2, and without keys that are written twice."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML has it

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Read a mapping whose keys differ."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_TAG}merge":
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value!r} is written twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _name, _pattern, _first in (
    ("bool", r"y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON|n|N|no|No|NO|false|False|FALSE|off|Off|OFF", "yYnNtTfFoO"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
    ("int", r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(rf"(?:{_pattern})\Z"), list(_first))
_TRUE = ("y", "yes", "true", "on")


def _boolean(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> bool:
    return str(loader.construct_scalar(node)).lower() in _TRUE


_Loader.add_constructor(f"{_TAG}bool", _boolean)


def documents(text: str) -> list[Any]:
    """The documents of a YAML file as JSON values.

    Raises:
        InvalidManifestError: it is not YAML, or a key is written twice.
    """
    try:
        return [_as_json(document) for document in yaml.load_all(text, Loader=_Loader)]
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark is not None else ""
        raise InvalidManifestError(f"{line}{error.problem or error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidManifestError(f"it is not YAML ({error})") from None


def _as_json(value: Any) -> Any:
    """The value as it comes to the API server: keys are text, and whole floats are integers."""
    if isinstance(value, Mapping):
        return {_key(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidManifestError(f"{value} is no number in JSON")
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_WHOLE_FLOAT:
        return int(value)
    return value


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def fine_tune(document: Mapping[str, Any]) -> tuple[str, LoRAFineTuneSpec]:
    """Name and spec of an object of the kind LoRAFineTune; addresses may be of files, for runs without a cluster.

    Raises:
        InvalidManifestError: the API server would refuse it.
    """
    problems = [f"{field}: unknown field" for field in document if field not in _FIELDS]
    version = document.get("apiVersion")
    if version != names.API_VERSION:
        problems.append(f"apiVersion: must be {names.API_VERSION}")
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    problems += _name_problems(name)
    spec = None
    try:
        spec = LoRAFineTuneSpec.read(_without_nulls(document.get("spec") or {}))
    except ValidationError as error:
        problems += explained(error, "spec")
    if problems or spec is None:
        raise InvalidManifestError(*problems)
    return str(name), spec


def _name_problems(name: Any) -> list[str]:
    if not isinstance(name, str) or not name:
        return ["metadata.name: is missing"]
    if _SUBDOMAIN.fullmatch(name) is None:
        return ["metadata.name: must be lower-case letters, digits and '-', such as triage-2"]
    return [rule.message for rule in FINE_TUNE.name_rules if not rule.holds(name)]


def _without_nulls(value: Any) -> Any:
    """The value as the API server reads it: a field that is null is as good as absent."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value
