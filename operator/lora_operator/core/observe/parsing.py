"""From the text of an object to its models, whatever a person may have written there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from lora_contract.base import SpecModel, explained

SpecT = TypeVar("SpecT", bound=SpecModel)
ModelT = TypeVar("ModelT", bound=BaseModel)


class ReadSpec(NamedTuple, Generic[SpecT]):
    """What a spec says. `spec` is None where it is invalid; `errors` then says why, one line a field.

    `unchecked`: an invalid spec without the rules that it breaks; None: it is valid, or not even of the right form.
    """

    spec: SpecT | None
    errors: tuple[str, ...] = ()
    unchecked: SpecT | None = None


def parsed_spec(model: type[SpecT], raw: Mapping[str, Any]) -> ReadSpec[SpecT]:
    """Parse a spec, whatever a user may have written into it."""
    try:
        return ReadSpec(model.read(raw))
    except ValidationError as error:
        return ReadSpec(None, explained(error, "spec"), model.unchecked(raw))


def parsed_status(model: type[ModelT], raw: Mapping[str, Any]) -> ModelT:
    """Parse a status; where somebody wrote nonsense by hand, only the nonsense is dropped: latches stay."""
    try:
        return model.model_validate(raw)
    except ValidationError:
        good: dict[str, Any] = {}
        for name, info in model.model_fields.items():
            key = info.alias or name
            if key not in raw:
                continue
            try:
                model.model_validate({key: raw[key]})
            except ValidationError:
                continue
            good[key] = raw[key]
        return model.model_validate(good)
