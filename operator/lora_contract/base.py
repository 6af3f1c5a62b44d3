"""What every contract model has in common: camelCase on the wire, frozen, no unknown fields, rules with words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, ClassVar, NamedTuple, Self, cast, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails


class Rule(NamedTuple):
    """A rule over several fields, stated for the API server (CEL) and for Python, with one message for both."""

    cel: str
    message: str
    holds: Callable[[Any], bool]


class Model(BaseModel):
    """A frozen model whose JSON keys are camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")

    def dump(self) -> dict[str, Any]:
        """Return the JSON form with every default applied and absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class SpecModel(Model):
    """A part of the user's spec; `rules` become CEL in the CRD and are checked by pydantic alike.

    Strict, as the API server is: the text "16" is no number and the text "true" no boolean.
    """

    model_config = ConfigDict(strict=True)

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, raw: Any) -> Any:
        """Take a key that is null for one that is absent, as the API server does; also in maps such as nodeSelector."""
        if not isinstance(raw, dict):
            return raw
        return {
            key: {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value
            for key, value in raw.items()
            if value is not None
        }

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        for rule in self.rules:
            if not rule.holds(self):
                raise ValueError(rule.message)
        return self

    @classmethod
    def read(cls, raw: Any, *, cluster: bool = False) -> Self:
        """Read the spec as a user wrote it: camelCase alone, as the API server takes it.

        `cluster`: addresses of files of this machine are refused too, which only runs without a cluster may name.

        Raises:
            ValidationError: a field is unknown, missing or wrong, or a rule is broken.
        """
        return cls.model_validate(raw, by_alias=True, by_name=False, context={"cluster": cluster})

    @classmethod
    def unchecked(cls, raw: Mapping[str, Any]) -> Self | None:
        """Read the spec without its rules, for one that was accepted before a rule existed.

        Whatever part keeps to the rules is read as always. None: a required field is missing.
        """
        values: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            key = field.alias or name
            if key in raw:
                values[name] = _unchecked(field.annotation, raw[key])
            elif field.is_required():
                return None
        return cast("Self", cls.model_construct(**values))


def _unchecked(annotation: Any, value: Any) -> Any:
    with suppress(ValidationError):
        return TypeAdapter(annotation).validate_python(value)
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    model = next((kind for kind in kinds if issubclass(kind, SpecModel)), None)
    if model is None:
        return value
    if isinstance(value, list):
        return [_unchecked(model, item) for item in value]
    return model.unchecked(value) if isinstance(value, Mapping) else value


class StatusModel(Model):
    """A part of the status. Unknown fields are ignored: a newer operator may have written them."""

    model_config = ConfigDict(extra="ignore")


def explained(error: ValidationError, path: str, model: type[BaseModel] | None = None) -> tuple[str, ...]:
    """Explain what is wrong with a spec, a line for each field: its path below `path`, and what the rule says.

    `model` is what was read: beside an unknown field stand those that there are.
    """
    return tuple(
        f"{'.'.join([path, *(str(part) for part in item['loc'])])}: {problem_of(item, model)}"
        for item in error.errors(include_url=False, include_context=False)
    )


def problem_of(item: ErrorDetails, model: type[BaseModel] | None = None) -> str:
    """Word pydantic's error as the rules word theirs, with what to do where it can be known."""
    kind, text, value = item["type"], item["msg"].removeprefix("Value error, "), item["input"]
    if kind == "extra_forbidden":
        return _unknown(str(item["loc"][-1]), _fields_beside(item["loc"], model))
    if kind == "missing":
        return "is missing; it has no default"
    if kind in ("model_type", "dict_type"):
        return "must be a mapping of fields to values"
    text = re.sub(r"^(Input|String|List|Dictionary) should (be|have|match)", r"must \2", text)
    advice = _advice(kind, value)
    return f"{text}; {advice}" if advice else text


def _unknown(name: str, known: tuple[str, ...]) -> str:
    if to_camel(name) in known or ("_" in name and not known):
        return f"unknown field; write {to_camel(name)}"
    near = get_close_matches(to_camel(name), known, n=1, cutoff=0.75)
    if near:
        return f"unknown field; is {near[0]} meant?"
    return f"unknown field; there are {', '.join(known)}" if 0 < len(known) <= _MOST_NAMES else "unknown field"


def _fields_beside(loc: tuple[int | str, ...], model: type[BaseModel] | None) -> tuple[str, ...]:
    """List the fields of the part of `model` where the last name of `loc` stands; none where that is not known."""
    for name in loc[:-1]:
        if model is None or isinstance(name, int):
            continue
        annotation = next((f.annotation for key, f in model.model_fields.items() if name in (key, f.alias)), None)
        kinds = (annotation, *get_args(annotation))
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return () if model is None else tuple(field.alias or key for key, field in model.model_fields.items())


def _advice(kind: str, value: Any) -> str | None:
    """Advise how to write a value whose type is wrong; None where its text says nothing of what was meant."""
    if kind == "string_type" and isinstance(value, int | float):
        return "write it in quotes"
    if kind == "list_type" and isinstance(value, str | int | float):
        return f"write [{value}]"
    if kind not in _PLAIN or not isinstance(value, str):
        return None
    if _PLAIN[kind].fullmatch(value):
        return "write it without quotes"
    percent = re.fullmatch(r"([0-9]+)(\.[0-9]+)? ?%", value) if kind == "float_type" else None
    return f"write {float(value.rstrip(' %')) / 100:g}" if percent else None


#: More names than this help nobody.
_MOST_NAMES = 16
#: What a text in quotes may say, so that without them it is of the type that was asked for.
_PLAIN = {
    "int_type": re.compile(r"[-+]?[0-9]+"),
    "float_type": re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"),
    "bool_type": re.compile(r"true|false|yes|no|on|off", re.IGNORECASE),
}
