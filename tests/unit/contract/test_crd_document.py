"""The generated CRDs: up to date, structural, and every field explained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lora_contract.crd import __main__ as generator
from lora_contract.crd import custom_resource_definition
from lora_contract.crd.resources import FINE_TUNE, RESOURCES, SWEEP, Resource
from lora_contract.finetune import LoRAFineTuneSpec
from support.api_server import CRD, SWEEP_CRD

ROOT = CRD.parents[1]


def version(resource: Resource) -> dict[str, Any]:
    """The one version of a resource."""
    (only,) = custom_resource_definition(resource)["spec"]["versions"]
    return dict(only)


def part(resource: Resource, name: str) -> dict[str, Any]:
    """The schema of spec or status."""
    return dict(version(resource)["schema"]["openAPIV3Schema"]["properties"][name])


SPEC = part(FINE_TUNE, "spec")


def walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below one, with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from walk(schema[key], f"{path}[]")


def fields(name: str) -> dict[str, dict[str, Any]]:
    """The schemas of all fields of the specs, or of the statuses, of all resources."""
    return dict(found for resource in RESOURCES for found in walk(part(resource, name), f"{resource.kind}.{name}"))


SPEC_FIELDS, STATUS_FIELDS = fields("spec"), fields("status")
ALL_FIELDS = SPEC_FIELDS | STATUS_FIELDS
TYPES = {"object", "array", "string", "integer", "number", "boolean"}
NAMED = [path for path in ALL_FIELDS if not path.endswith("[]")]


def test_all_written_copies_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert generator.main(["--check"]) == 0


def test_a_copy_that_differs_is_named_with_the_remedy(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert generator.main([]) == 0
    copy = next(iter(generator.COPIES))
    written = tmp_path / copy
    written.write_text(written.read_text().replace("maximum: 512", "maximum: 513"))
    assert generator.main(["--check"]) == 1
    assert f"out of date: {copy}; run `make generate`" in capsys.readouterr().err


def test_the_yaml_reads_as_the_document() -> None:
    assert yaml.safe_load(CRD.read_text(encoding="utf-8")) == custom_resource_definition()
    assert yaml.safe_load(SWEEP_CRD.read_text(encoding="utf-8")) == custom_resource_definition(SWEEP)


def test_every_field_is_explained() -> None:
    def is_explained(path: str) -> bool:
        description = ALL_FIELDS[path].get("description", "")
        return description.endswith((".", ")")) and len(description) >= (20 if path in SPEC_FIELDS else 10)

    assert [path for path in NAMED if not is_explained(path)] == []


def test_every_field_of_the_spec_has_an_example() -> None:
    named = [path for path in SPEC_FIELDS if not path.endswith((".spec", "[]"))]
    assert [path for path in named if "Example: " not in SPEC_FIELDS[path]["description"]] == []


def test_the_schema_is_structural() -> None:
    def is_structural(schema: dict[str, Any]) -> bool:
        return (
            (schema.get("type") in TYPES) != ("x-kubernetes-int-or-string" in schema)
            and not {"title", "$ref", "$defs", "anyOf", "allOf", "const", "examples"} & set(schema)
            and schema.get("additionalProperties") is not False
            and isinstance(schema.get("exclusiveMinimum", True), bool)
        )

    assert [path for path, schema in ALL_FIELDS.items() if not is_structural(schema)] == []


def test_everything_of_the_spec_is_bounded() -> None:
    bounds = {"string": "maxLength", "array": "maxItems", "integer": "maximum", "number": "maximum"}

    def is_bounded(schema: dict[str, Any]) -> bool:
        kind = schema.get("type", "string")
        value = kind not in bounds or bounds[kind] in schema or "enum" in schema
        return value and ("additionalProperties" not in schema or "maxProperties" in schema)

    assert [path for path, schema in SPEC_FIELDS.items() if not is_bounded(schema)] == []


def test_no_rule_takes_more_than_a_sentence() -> None:
    messages = {
        rule["message"]: path
        for path, schema in ALL_FIELDS.items()
        for rule in schema.get("x-kubernetes-validations", [])
    }
    assert {text: path for text, path in messages.items() if not 10 <= len(text) <= 200 or "\n" in text} == {}


def test_optional_parts_have_their_defaults_written_out() -> None:
    for name in ("quantization", "lora", "evaluation", "storage", "compute", "scheduling"):
        model = LoRAFineTuneSpec.model_fields[name].default
        assert SPEC["properties"][name]["default"] == model.dump()


def test_no_field_names_another_namespace() -> None:
    assert not [path for path in SPEC_FIELDS if "namespace" in path.lower()]


def test_the_status_has_no_default_but_that_of_an_object_nobody_has_seen() -> None:
    for resource in RESOURCES:
        assert part(resource, "status")["default"] == {"observedGeneration": -1}
    assert not [path for path, s in STATUS_FIELDS.items() if not path.endswith(".status") and "default" in s]


def test_numbers_of_the_status_are_whole() -> None:
    assert not [path for path, schema in STATUS_FIELDS.items() if schema["type"] == "number"]


@pytest.mark.parametrize(
    ("resource", "names"),
    [
        (FINE_TUNE, ["Phase", "Progress", "Loss", "ETA", "Age"]),
        (SWEEP, ["Phase", "Trials", "Active", "Best", "Loss", "Age"]),
    ],
)
def test_columns_fit_a_terminal(resource: Resource, names: list[str]) -> None:
    columns = version(resource)["additionalPrinterColumns"]
    assert [column["name"] for column in columns if "priority" not in column] == names
