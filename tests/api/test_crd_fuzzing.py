"""Whatever is written into a spec, the API server and pydantic judge alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kubernetes import client
from pydantic import ValidationError

from lora_contract.crd import custom_resource_definition
from lora_contract.finetune import LoRAFineTuneSpec
from support import api_server
from support.api_server import FineTunes
from support.specs import GOOD_SPECS, REMOVED, changed

OBJECT = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of the spec with its schema."""
    for name, part in schema.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        yield here, part
        yield from fields(part, here)


FIELDS = dict(fields(OBJECT["properties"]["spec"]))
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["a", "A", "s3://data/x", "s3://data/x/..", "1", "1Gi", "http://x", "a.b"]
)
INTEGERS = st.integers(-2, 20) | st.integers(-(2**40), 2**40)
#: No whole numbers: the API server takes 1.0 for an integer, as JSON has one kind of number.
FRACTIONS = st.floats(-2, 2).filter(lambda number: not number.is_integer())
QUANTITIES = st.integers(-2, 2**40) | st.from_regex(
    r"[-+]?([0-9]{1,3}([.][0-9]{0,3})?|[.][0-9]{1,3})([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]{1,2})?", fullmatch=True
)
ANYTHING = st.booleans() | INTEGERS | FRACTIONS | TEXTS | st.just([]) | st.just({}) | st.just([{}]) | st.just(["a"])


def values(path: str) -> st.SearchStrategy[Any]:
    """Values for a field: right or wrong ones of its type, mostly, and now and then anything."""
    schema = FIELDS[path]
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | ANYTHING
    if schema.get("x-kubernetes-int-or-string"):
        return QUANTITIES | ANYTHING
    of_type = {"string": TEXTS, "integer": INTEGERS, "number": FRACTIONS | INTEGERS, "boolean": st.booleans()}
    return of_type.get(schema["type"], ANYTHING) | ANYTHING


CHANGES = st.lists(
    st.sampled_from(sorted(FIELDS)).flatmap(lambda path: st.tuples(st.just(path), values(path))), min_size=1, max_size=3
)


@pytest.fixture(scope="module")
def shared(api: client.ApiClient) -> FineTunes:
    return FineTunes(api, api_server.make_namespace(api))


def apply(spec: dict[str, Any], changes: list[tuple[str, Any]]) -> dict[str, Any] | None:
    """The spec with the changes; None where one lies below what another replaced by something else."""
    for path, value in changes:
        try:
            spec = changed({path: value}, spec)
        except (AttributeError, TypeError):
            return None
    return spec


@given(st.sampled_from(sorted(GOOD_SPECS)), CHANGES)
@example("the least that is needed", [("training.epochs", 1e-9)])
@example("the least that is needed", [("compute.cpu", "0.001")])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_judges_agree(shared: FineTunes, good: str, changes: list[tuple[str, Any]]) -> None:
    spec = apply(changed(GOOD_SPECS[good]), changes)
    if spec is None:
        return
    try:
        expected: dict[str, Any] | None = LoRAFineTuneSpec.model_validate(spec).dump()
    except ValidationError:
        expected = None
    if expected is not None:
        assert shared.create("triage", spec, dry_run=True)["spec"] == expected
        return
    with pytest.raises(client.ApiException) as caught:
        shared.create("triage", spec, dry_run=True)
    assert caught.value.status in (400, 422)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("model.id", "Required value"),
        ("dataset.uri", "set exactly one of dataset.uri and dataset.sources"),
        ("output.uri", "Required value"),
    ],
)
def test_removing_a_required_field_is_noticed(path: str, said: str, shared: FineTunes) -> None:
    with pytest.raises(client.ApiException, match=said):
        shared.create("triage", changed({path: REMOVED}), dry_run=True)
