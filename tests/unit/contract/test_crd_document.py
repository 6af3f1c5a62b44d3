"""The generated CRD: up to date, structural, and every field explained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from lora_contract.crd import __main__ as generator
from lora_contract.crd import custom_resource_definition
from lora_contract.spec import LoRAFineTuneSpec
from support.api_server import CRD

ROOT = CRD.parents[1]
VERSION = custom_resource_definition()["spec"]["versions"][0]
OBJECT = VERSION["schema"]["openAPIV3Schema"]
SPEC, STATUS = (OBJECT["properties"][part] for part in ("spec", "status"))


def walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below one, with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from walk(schema[key], f"{path}[]")


SPEC_FIELDS = dict(walk(SPEC, "spec"))
STATUS_FIELDS = dict(walk(STATUS, "status"))
ALL_FIELDS = SPEC_FIELDS | STATUS_FIELDS
NAMED = [path for path in ALL_FIELDS if not path.endswith("[]")]


def test_both_written_copies_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert generator.main(["--check"]) == 0


def test_a_copy_that_differs_is_named_with_the_remedy(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert generator.main([]) == 0
    written = tmp_path / generator.COPIES[0]
    written.write_text(written.read_text().replace("maximum: 512", "maximum: 513"))
    assert generator.main(["--check"]) == 1
    assert f"out of date: {generator.COPIES[0]}; run `make crds`" in capsys.readouterr().err


def test_the_yaml_reads_as_the_document() -> None:
    assert yaml.safe_load(CRD.read_text(encoding="utf-8")) == custom_resource_definition()


@pytest.mark.parametrize("path", NAMED)
def test_every_field_is_explained(path: str) -> None:
    description = ALL_FIELDS[path].get("description", "")
    assert description.rstrip().endswith((".", ")"))
    assert len(description) >= (20 if path.startswith("spec") else 10)


@pytest.mark.parametrize("path", [path for path in SPEC_FIELDS if path != "spec" and not path.endswith("[]")])
def test_every_field_of_the_spec_has_an_example(path: str) -> None:
    assert "Example: " in SPEC_FIELDS[path]["description"]


@pytest.mark.parametrize("path", ALL_FIELDS)
def test_the_schema_is_structural(path: str) -> None:
    schema = ALL_FIELDS[path]
    assert schema["type"] in {"object", "array", "string", "integer", "number", "boolean"}
    assert not {"title", "$ref", "$defs", "anyOf", "allOf", "const", "examples"} & set(schema)
    assert schema.get("additionalProperties") is not False
    assert isinstance(schema.get("exclusiveMinimum", True), bool)


@pytest.mark.parametrize("path", SPEC_FIELDS)
def test_everything_of_the_spec_is_bounded(path: str) -> None:
    schema = SPEC_FIELDS[path]
    bounds = {"string": "maxLength", "array": "maxItems", "integer": "maximum", "number": "maximum"}
    if schema["type"] in bounds:
        assert bounds[schema["type"]] in schema or "enum" in schema
    if "additionalProperties" in schema:
        assert "maxProperties" in schema


@pytest.mark.parametrize("path", ALL_FIELDS)
def test_no_rule_takes_more_than_a_sentence(path: str) -> None:
    for rule in ALL_FIELDS[path].get("x-kubernetes-validations", []):
        assert 10 <= len(rule["message"]) <= 200
        assert "\n" not in rule["message"]


def test_optional_parts_have_their_defaults_written_out() -> None:
    for part in ("quantization", "lora", "evaluation", "storage", "compute", "scheduling"):
        model = LoRAFineTuneSpec.model_fields[part].default
        assert SPEC["properties"][part]["default"] == model.dump()


def test_no_field_names_another_namespace() -> None:
    assert not [path for path in SPEC_FIELDS if "namespace" in path.lower()]


def test_the_status_has_no_default_but_that_of_an_object_nobody_has_seen() -> None:
    assert STATUS["default"] == {"observedGeneration": -1}
    assert not [path for path, schema in STATUS_FIELDS.items() if path != "status" and "default" in schema]


def test_numbers_of_the_status_are_whole() -> None:
    assert not [path for path, schema in STATUS_FIELDS.items() if schema["type"] == "number"]


def test_columns_fit_a_terminal() -> None:
    columns = VERSION["additionalPrinterColumns"]
    assert [column["name"] for column in columns if "priority" not in column] == [
        "Phase", "Progress", "Loss", "ETA", "Age",
    ]  # fmt: skip
