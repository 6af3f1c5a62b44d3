"""JSON schemas that rows bring along; imported where a row has tools, since the library takes a tenth of a second."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend, validator_for
from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable

from lora_trainer.data.conversations import schema_patterns, schema_types
from lora_trainer.data.guard import CpuTimeExceeded

_LONGEST_PROBLEM = 300
#: Longest schema whose validator is kept, characters of JSON.
_LONGEST_KEPT = 1 << 14
#: Drafts by which a schema may be meant that names none, the likeliest first: OpenAPI 3.0 has keywords of draft 4.
_DRAFTS = (
    Draft202012Validator,
    Draft201909Validator,
    Draft7Validator,
    Draft6Validator,
    Draft4Validator,
)


def problem_of_schema(schema: Mapping[str, Any]) -> str | None:
    """Say why this cannot be used as a JSON schema; None: it can."""
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
        return f" cannot be checked: their schema refers to what it does not hold, {str(problem.ref)[:100]}"
    except RecursionError:
        return " cannot be checked: their schema refers to itself without end"
    except re.error:  # rarer keywords of the library match patterns as Python does
        return None
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
        SchemaError: it is no JSON schema of the draft that its `$schema` names; if it names none, of no draft.
    """
    text = json.dumps(schema)
    return _known(text) if len(text) <= _LONGEST_KEPT else _made(text)


@lru_cache(maxsize=1024)
def _known(schema: str) -> Any:
    """Make the validator of a schema, or give that of an equal one that is remembered."""
    return _made(schema)


def _made(schema: str) -> Any:
    """Make the validator of a schema that is given as JSON.

    Without a registry of its own the library would fetch what the schema refers to from the network; this one holds
    the drafts themselves.
    """
    loaded, _ = schema_types.standard(json.loads(schema))
    named = validator_for(loaded, default=None) if isinstance(loaded.get("$schema"), str) else None
    drafts = _DRAFTS if named is None else (named,)
    problems = [_problem(draft, loaded) for draft in drafts]
    if None not in problems:
        raise next(problem for problem in problems if problem is not None)
    return _extended(drafts[problems.index(None)])(loaded, registry=REGISTRY)


def _problem(draft: Any, schema: Any) -> SchemaError | None:
    try:
        # Whether patterns can be read is looked at where they are matched: those of JSON schemas are not Python's.
        draft.check_schema(schema, format_checker=None)
    except SchemaError as error:
        return error
    return None


@lru_cache(maxsize=16)
def _extended(draft: Any) -> Any:
    """Make the validator of a draft that matches patterns as `schema_patterns` does."""
    return extend(draft, schema_patterns.keywords(draft))


def notes(schemas: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Say what of schemas is not read as it is written: types that no draft has, patterns that are not checked."""
    said: dict[str, None] = {}
    for schema in schemas:
        said |= dict.fromkeys(schema_types.standard(schema)[1])
        for pattern in schema_patterns.unreadable(schema):
            said[f"the pattern {pattern[:100]} cannot be read, so is not checked"] = None
    return tuple(said)


def _unforeseen(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:100]}"


def _words(error: ValidationError | SchemaError) -> str:
    message: str = error.message
    return message if len(message) <= _LONGEST_PROBLEM else f"{message[:_LONGEST_PROBLEM]}..."
