"""From the text of an object to its models, whatever a person may have written there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lora_contract.base import SpecModel, explained

SpecT = TypeVar("SpecT", bound=SpecModel)
ModelT = TypeVar("ModelT", bound=BaseModel)


def parsed_spec(model: type[SpecT], raw: Mapping[str, Any]) -> tuple[SpecT | None, tuple[str, ...]]:
    """Parse a spec; the spec, or None and why it is invalid, one line a field."""
    try:
        return model.read(raw), ()
    except ValidationError as error:
        return None, explained(error, "spec")


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
