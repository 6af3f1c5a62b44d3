"""From a pydantic model to a structural schema, the subset of OpenAPI v3 that a CRD may use.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from lora_contract.base import Model, SpecModel

Schema = dict[str, Any]

RULES = "x-kubernetes-validations"
#: Keywords that structural schemas do not know, or that say nothing once the CRD is written.
_DROPPED = frozenset({"title", "const", "examples", "$defs"})


class _WithRules(GenerateJsonSchema):
    """Adds the models' rules as CEL, and writes defaults as the API server would store them."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        model = schema["cls"]
        if issubclass(model, SpecModel) and model.rules:
            made[RULES] = [{"rule": rule.cel, "message": rule.message} for rule in model.rules]
        return made

    def encode_default(self, dft: Any) -> Any:
        return dft.dump() if isinstance(dft, Model) else super().encode_default(dft)


def structural(model: type[BaseModel], *, defaults: bool = True) -> Schema:
    """Build the structural schema of a model: references inlined, defaults written out, rules as CEL.

    `defaults=False` leaves defaults out: the status is written whole by its one writer.
    """
    source = model.model_json_schema(by_alias=True, schema_generator=_WithRules)
    return _convert(source, source.get("$defs", {}), defaults=defaults)


def _convert(source: Mapping[str, Any], definitions: Mapping[str, Any], *, defaults: bool) -> Schema:
    merged = _without_null(_resolved(source, definitions), definitions)
    schema: Schema = {}
    for key, value in merged.items():
        if key in _DROPPED or (key == "default" and (value is None or not defaults)):
            continue
        if key == "properties":
            schema[key] = {name: _convert(part, definitions, defaults=defaults) for name, part in value.items()}
        elif key == "items" or (key == "additionalProperties" and isinstance(value, dict)):
            schema[key] = _convert(value, definitions, defaults=defaults)
        elif key in ("exclusiveMinimum", "exclusiveMaximum"):
            # JSON Schema 2020-12 gives the number here, OpenAPI v3 a flag beside the ordinary limit.
            schema[key.replace("exclusiveM", "m")] = value
            schema[key] = True
        elif key != "additionalProperties":
            schema[key] = value
    if schema.get("type") == "array":
        schema.setdefault("x-kubernetes-list-type", "atomic")
    if "description" in schema:
        schema["description"] = described(schema["description"], merged, defaults=defaults)
    return schema


def _resolved(source: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the reference in a schema by what it refers to; words beside the reference win."""
    if "$ref" not in source:
        return dict(source)
    beside = {key: value for key, value in source.items() if key != "$ref"}
    return {**definitions[source["$ref"].removeprefix("#/$defs/")], **beside}


def _without_null(source: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Drop null from a nullable field: absent fields are left out, never written as null."""
    if "anyOf" not in source:
        return source
    (part,) = [part for part in source.pop("anyOf") if part.get("type") != "null"]
    return {**_resolved(part, definitions), **source}


def described(text: str, source: Mapping[str, Any], *, defaults: bool) -> str:
    """Add default and example to the explanation, as `kubectl explain` shows neither."""
    sentences = [text if text.endswith((".", ")")) else f"{text}."]
    default = source.get("default")
    if defaults and default is not None and not isinstance(default, dict):
        sentences.append(f"Default: {json.dumps(default)}.")
    if source.get("examples"):
        sentences.append(f"Example: {json.dumps(source['examples'][0])}.")
    return " ".join(sentences)
