"""JSON schemas that rows bring along; imported where a row has tools, since the library takes a tenth of a second."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from lora_trainer.data.guard import CpuTimeExceeded

_LONGEST_PROBLEM = 300
#: Longest schema whose validator is kept, characters of JSON.
_LONGEST_KEPT = 1 << 14


def problem_of_schema(schema: Mapping[str, Any]) -> str | None:
    """Say why this cannot be used as a JSON schema of draft 2020-12; None: it can."""
    try:
        validator(schema)
    except SchemaError as error:
        return f"is no JSON schema: {_words(error)}"
    except RecursionError:
        return "is nested too deeply"
    except (CpuTimeExceeded, MemoryError):
        raise
    except Exception as error:  # the library meets what its authors did not think of
        return f"cannot be used as a JSON schema: {_unforeseen(error)}"
    return None


def problem_of_value(value: Any, validator: Any) -> str | None:
    """Say where and how a value breaks the schema of a `validator`, in words that follow the name of the value.

    The words may also say why it cannot be checked. None: it satisfies the schema.
    """
    try:
        error = best_match(validator.iter_errors(value))
    except Unresolvable as problem:
        return f" cannot be checked: their schema refers to what it does not hold ({str(problem)[:100]})"
    except RecursionError:
        return " cannot be checked: their schema refers to itself without end"
    except (CpuTimeExceeded, MemoryError):
        raise
    except Exception as problem:
        return f" cannot be checked against their schema: {_unforeseen(problem)}"
    if error is None:
        return None
    place = "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in error.absolute_path)
    return f"{place}: {_words(error)}"


def validator(schema: Mapping[str, Any]) -> Any:
    """Give what checks values against a schema.

    Raises:
        SchemaError: it is no JSON schema of draft 2020-12.
    """
    text = json.dumps(schema)
    return _known(text) if len(text) <= _LONGEST_KEPT else _made(text)


@lru_cache(maxsize=1024)
def _known(schema: str) -> Any:
    """Make the validator of a schema, or give that of an equal one that is remembered."""
    return _made(schema)


def _made(schema: str) -> Any:
    """Make the validator of a schema that is given as JSON.

    Without a registry of its own the library would fetch what the schema refers to from the network.
    """
    loaded = json.loads(schema)
    Draft202012Validator.check_schema(loaded)
    return Draft202012Validator(loaded, registry=Registry())


def _unforeseen(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:100]}"


def _words(error: ValidationError | SchemaError) -> str:
    message: str = error.message
    return message if len(message) <= _LONGEST_PROBLEM else f"{message[:_LONGEST_PROBLEM]}..."
