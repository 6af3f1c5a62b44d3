"""What every contract model has in common: camelCase on the wire, frozen, no unknown fields, rules with words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel


class Rule(NamedTuple):
    """A rule over several fields, stated for the API server (CEL) and for Python, with one message for both."""

    cel: str
    message: str
    holds: Callable[[Any], bool]


class Model(BaseModel):
    """A frozen model whose JSON keys are camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")

    def dump(self) -> dict[str, Any]:
        """The JSON form with every default applied and absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class SpecModel(Model):
    """A part of the user's spec; `rules` become CEL in the CRD and are checked by pydantic alike.

    Strict, as the API server is: the text "16" is no number and the text "true" no boolean.
    """

    model_config = ConfigDict(strict=True)

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        for rule in self.rules:
            if not rule.holds(self):
                raise ValueError(rule.message)
        return self


class StatusModel(Model):
    """A part of the status. Unknown fields are ignored: a newer operator may have written them."""

    model_config = ConfigDict(extra="ignore")


def explained(error: ValidationError, path: str) -> tuple[str, ...]:
    """What is wrong with a spec, a line for each field: its path below `path`, and what the rule says."""
    return tuple(
        f"{'.'.join([path, *(str(part) for part in item['loc'])])}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    )
