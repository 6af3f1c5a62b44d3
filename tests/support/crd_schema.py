"""The schema of the CRD, applied to an object as the API server would, for tests without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lora_contract.crd import custom_resource_definition

STATUS = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
}


def violations(value: Any, schema: dict[str, Any] = STATUS, path: str = "status") -> Iterator[str]:
    """What the API server would refuse: types, lengths, 64 bits, enums, and characters that are no text."""
    if not isinstance(value, _TYPES[schema["type"]]) or isinstance(value, bool) != (schema["type"] == "boolean"):
        yield f"{path}: {value!r} is no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not one of {schema['enum']}"
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        yield from (f"{path}.{name}: missing" for name in schema.get("required", ()) if name not in value)
        for name in value.keys() & properties.keys():
            yield from violations(value[name], properties[name], f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from violations(item, schema["items"], f"{path}.{number}")
    if isinstance(value, str | list) and len(value) > schema.get("maxLength", schema.get("maxItems", 10_000)):
        yield f"{path}: {len(value)} is too long"
    if isinstance(value, str) and not all(char.isprintable() or char == "\n" for char in value):
        yield f"{path}: {value!r} moves a terminal"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield f"{path}: {value} has more than 64 bits"
