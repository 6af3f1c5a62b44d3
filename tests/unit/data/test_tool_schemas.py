"""Schemas of tools in every draft, with patterns of ECMA-262: a call is held against what can be read of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lora_trainer.data.conversations import json_schema
from lora_trainer.data.profile import DataProfile
from lora_trainer.errors import TrainerError
from support.conversations import QUESTION, answer, call, prepared_with, result


def _object(**more: Any) -> dict[str, Any]:
    return {"type": "object", **more}


def _city(**schema: Any) -> dict[str, Any]:
    return _object(properties={"city": {"type": "string", **schema}})


_ABOVE_ZERO = _object(properties={"days": {"type": "number", "minimum": 0, "exclusiveMinimum": True}})
_BY_NAME = _object(patternProperties={r"^\p{L}+$": {"type": "number"}}, additionalProperties=False)

#: A schema, arguments that satisfy it, arguments that do not, and words for these.
SCHEMAS: dict[str, tuple[dict[str, Any], Any, Any, str]] = {
    "draft 4, named": (
        {"$schema": "http://json-schema.org/draft-04/schema#", **_ABOVE_ZERO},
        {"days": 1},
        {"days": 0},
        "arguments.days: 0 is less than or equal to the minimum of 0",
    ),
    "draft 4, not named, as in OpenAPI 3.0": (_ABOVE_ZERO, {"days": 1}, {"days": 0}, "arguments.days: 0 is less"),
    "draft 7": (
        {"$schema": "http://json-schema.org/draft-07/schema#", **_city(minLength=2)},
        {"city": "Oslo"},
        {"city": "O"},
        "arguments.city: 'O' is too short",
    ),
    "a draft that nobody knows": (
        {"$schema": "https://example.com/draft", **_city(minLength=2)},
        {"city": "Oslo"},
        {"city": "O"},
        "arguments.city: 'O' is too short",
    ),
    "letters of any script": (_city(pattern=r"^\p{Lu}"), {"city": "Østerås"}, {"city": "oslo"}, "does not match"),
    "a named group": (
        _city(pattern=r"^(?<year>\d{4})-\k<year>$"),
        {"city": "2020-2020"},
        {"city": "2020-2021"},
        "does not match",
    ),
    "a slash behind a backslash": (_city(pattern=r"^a\/b$"), {"city": "a/b"}, {"city": "a"}, "does not match"),
    "names by a pattern": (_BY_NAME, {"Ærlig": 1}, {"Ærlig": "x"}, "arguments.Ærlig: 'x' is not of type 'number'"),
    "names that no pattern allows": (_BY_NAME, {}, {"1": 1}, "Additional properties are not allowed ('1' was"),
}


def _prepared(folder: Path, schema: dict[str, Any], arguments: Any) -> DataProfile:
    folder.mkdir(exist_ok=True)
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": schema}}
    turns = [QUESTION, answer(None, tool_calls=[call(arguments)]), result(), answer("Take a coat.")]
    return prepared_with(folder, "qwen2_5", [{"messages": turns, "tools": [tool]}])[0]


@pytest.mark.parametrize("case", SCHEMAS)
def test_arguments_that_satisfy_a_schema_are_learned(case: str, tmp_path: Path) -> None:
    schema, good, _, _ = SCHEMAS[case]

    profile = _prepared(tmp_path, schema, good)

    assert profile.rows["train"] == 1
    assert profile.schema_notes == []


@pytest.mark.parametrize("case", SCHEMAS)
def test_arguments_that_break_a_schema_are_named(case: str, tmp_path: Path) -> None:
    schema, _, bad, words = SCHEMAS[case]

    with pytest.raises(TrainerError, match="line 1: turn 2, call 1 of get_weather: arguments") as raised:
        _prepared(tmp_path, schema, bad)

    assert words in raised.value.message


#: Schemas with a pattern that nothing here can read.
UNREADABLE: dict[str, dict[str, Any]] = {
    "[": _city(pattern="["),
    r"\u{1F600}": _city(pattern=r"\u{1F600}"),
    "a{99999999999}": _object(patternProperties={"a{99999999999}": {"type": "number"}}, additionalProperties=False),
    "(": _object(patternProperties={"(": {"type": "number"}}, unevaluatedProperties=False),
}


@pytest.mark.parametrize("pattern", UNREADABLE)
def test_a_pattern_that_cannot_be_read_is_told_and_refuses_no_row(pattern: str, tmp_path: Path) -> None:
    profile = _prepared(tmp_path, UNREADABLE[pattern], {"city": "Oslo"})

    assert profile.rows["train"] == 1
    assert profile.schema_notes == [f"the pattern {pattern} cannot be read, so is not checked"]


def _of_type(word: Any) -> dict[str, Any]:
    return _object(properties={"city": {"type": word}})


#: Schemas as data sets have them, arguments that satisfy what is meant, others that do not, and what is said.
IN_LIFE: dict[str, tuple[dict[str, Any], Any, Any, str]] = {
    "BFCL": (_of_type("string") | {"type": "dict"}, {"city": "Oslo"}, {"city": 1}, "'dict' is read as object"),
    "Gemini": (_of_type("STRING") | {"type": "OBJECT"}, {"city": "Oslo"}, {"city": 1}, "'STRING' is read as string"),
    "a float": (_of_type("float"), {"city": 1.5}, {"city": "x"}, "the type 'float' is read as number"),
    "a tuple": (_of_type("tuple"), {"city": [1, 2]}, {"city": "x"}, "'tuple' is read as array"),
    "Python": (_of_type("List[str]"), {"city": ["x"]}, {"city": "x"}, "'List[str]' is read as array"),
    "Python, optional": (_of_type("Optional[int]"), {"city": None}, {"city": "x"}, "is read as integer or null"),
    "xLAM": (
        {"city": {"description": "Where.", "type": "str, optional", "default": "Oslo"}},
        {"city": "Rome"},
        {"city": 5},
        "a map of names to parameters is read as the properties of an object",
    ),
    "draft 3": (
        _object(properties={"city": {"type": "string", "required": True}, "day": {"required": False}}),
        {"city": "Oslo"},
        {"day": 1},
        "required within a property is read as its name in the list of required ones",
    ),
    "several types": (_of_type(["str", "null"]), {"city": None}, {"city": 1}, "'str' is read as string"),
    "within others": (
        _object(properties={"a": {"anyOf": [{"type": "int"}, {"type": "array", "items": {"type": "bool"}}]}}),
        {"a": [True]},
        {"a": ["x"]},
        "'bool' is read as boolean",
    ),
}


@pytest.mark.parametrize("case", IN_LIFE)
def test_types_that_the_standard_lacks_are_read_as_what_they_mean(case: str, tmp_path: Path) -> None:
    schema, good, bad, note = IN_LIFE[case]

    profile = _prepared(tmp_path / "good", schema, good)

    assert any(note in said for said in profile.schema_notes), profile.schema_notes
    with pytest.raises(TrainerError, match="line 1: turn 2, call 1 of get_weather: arguments"):
        _prepared(tmp_path / "bad", schema, bad)


@pytest.mark.parametrize("word", ["any", "Any", "Union[int, str]"])
def test_a_type_that_allows_everything_is_said(word: str, tmp_path: Path) -> None:
    for value in ("Oslo", 1, None):
        profile = _prepared(tmp_path / str(value), _of_type(word), {"city": value})
        assert profile.schema_notes == [f"the type {word!r} is read as any value"]


def test_values_and_names_that_look_like_types_are_left_alone(tmp_path: Path) -> None:
    schema = _object(properties={"type": {"enum": ["dict", {"type": "dict"}], "default": {"type": "dict"}}})

    assert _prepared(tmp_path, schema, {"type": {"type": "dict"}}).schema_notes == []


@pytest.mark.parametrize(
    "schema",
    [{"type": "strng"}, {"required": "a"}, {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": "0"}],
)
def test_what_is_a_schema_of_no_draft_is_refused(schema: dict[str, Any]) -> None:
    assert (json_schema.problem_of_schema(schema) or "").startswith("is no JSON schema")


def test_a_schema_may_refer_to_a_draft_itself() -> None:
    validator = json_schema.validator({"$ref": "http://json-schema.org/draft-07/schema#"})

    assert json_schema.problem_of_value({"type": "object"}, validator) is None
    assert json_schema.problem_of_value({"type": 7}, validator)


@pytest.mark.parametrize("kind", [["any", "str"], ["string", "Any"], ["Optional[Any]", "int"]])
def test_a_type_that_allows_everything_allows_it_beside_others_too(kind: list[str], tmp_path: Path) -> None:
    assert _prepared(tmp_path, _city(type=kind), {"city": [1, {"a": None}]}).rows["train"] == 1


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (_city(type=["dict", {"a": 1}]), "is no JSON schema: ['dict', {'a': 1}] is not valid"),
        (_city(type=["str", ["a"]]), "is no JSON schema: ['str', ['a']] is not valid"),
        (_city(required=True) | {"required": [{"a": 1}]}, "is no JSON schema: True is not of type 'array'"),
    ],
)
def test_a_schema_with_something_else_for_a_word_is_refused_in_words(schema: dict[str, Any], says: str) -> None:
    assert says in str(json_schema.problem_of_schema(schema))
