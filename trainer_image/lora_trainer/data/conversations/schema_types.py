"""Types that schemas of tools have in life and not in the standard: those of programming languages and of other APIs.

What is meant without doubt is read as the standard's type, so calls are checked by it; any other word stays as it is,
and the standard refuses it. The text that the chat template shows the model is never changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_STANDARD = ("object", "array", "string", "number", "integer", "boolean", "null")
_MEANT = {
    **dict.fromkeys(("dict", "map", "hash", "hashmap", "record", "struct", "mapping"), "object"),
    **dict.fromkeys(("list", "tuple", "set", "sequence", "iterable"), "array"),
    **dict.fromkeys(("str", "text", "char"), "string"),
    **dict.fromkeys(("float", "double", "decimal"), "number"),
    **dict.fromkeys(("int", "int32", "int64", "long"), "integer"),
    "bool": "boolean",
    "none": "null",
}
#: Words that allow every value, with what stands in brackets behind them.
_ANYTHING = ("any", "union")
#: `str`, `List[int]`, `int, optional`: a word, what stands in brackets, what is said of it.
_WORD = re.compile(r"(?P<word>[A-Za-z0-9]+)\s*(?:\[.*\])?\s*(?:,\s*(?:optional|default\b.*))?", re.DOTALL)
_OPTIONAL = re.compile(r"Optional\[(?P<inner>.*)\]", re.DOTALL)
_LONGEST_TYPE = 200

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    *("items", "additionalItems", "additionalProperties", "unevaluatedItems", "unevaluatedProperties"),
    *("contains", "propertyNames", "not", "if", "then", "else"),
)


def standard(schema: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Read a schema as one of the standard; with it, what was read as something else, in words."""
    notes: dict[str, None] = {}
    read = dict(schema)
    if _is_map_of_parameters(schema):
        notes["a map of names to parameters is read as the properties of an object"] = None
        read = {"type": "object", "properties": read}
    return _schema(read, notes), tuple(notes)


def _is_map_of_parameters(schema: Mapping[str, Any]) -> bool:
    """Tell whether this maps names to parameters without a schema around them, as the data of xLAM do."""
    return bool(schema) and all(
        isinstance(part, Mapping) and any(isinstance(part.get(key), str) for key in ("type", "description"))
        for part in schema.values()
    )


def _schema(schema: Any, notes: dict[str, None]) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    read = dict(schema)
    for keyword in _MAPS:
        if isinstance(read.get(keyword), Mapping):
            read[keyword] = {name: _schema(part, notes) for name, part in read[keyword].items()}
    for keyword in (*_LISTS, *_SINGLE):
        part = read.get(keyword)
        if isinstance(part, list):
            read[keyword] = [_schema(each, notes) for each in part]
        elif isinstance(part, Mapping):
            read[keyword] = _schema(part, notes)
    _gather_required(read, notes)
    _read_type(read, notes)
    return read


def _read_type(schema: dict[str, Any], notes: dict[str, None]) -> None:
    """Write the type of a schema as the standard has it; a type that allows everything goes, and those beside it."""
    given = schema.get("type")
    every = given if isinstance(given, list) else [given]
    words = [word for word in every if isinstance(word, str)]
    if len(words) < len(every) or all(word in _STANDARD for word in words):
        return
    of_words = [list(_meant(word)) for word in words]
    meant = list(dict.fromkeys(kind for kinds in of_words for kind in kinds)) if all(of_words) else []
    for word, kinds in zip(words, of_words, strict=True):
        if word not in _STANDARD and kinds != [word]:
            notes[f"the type {word[:40]!r} is read as {' or '.join(kinds) or 'any value'}"] = None
    if meant:
        schema["type"] = meant if len(meant) > 1 else meant[0]
    else:
        del schema["type"]


def _meant(word: str) -> Iterator[str]:
    """Yield the types of the standard that a word means: the word itself where it is not known, none for any type."""
    if len(word) > _LONGEST_TYPE:
        yield word
        return
    if (optional := _OPTIONAL.fullmatch(word.strip())) is not None:
        inner = list(_meant(optional["inner"]))
        yield from dict.fromkeys((*inner, "null")) if inner else ()
        return
    found = _WORD.fullmatch(word.strip())
    plain = found["word"].lower() if found is not None else ""
    if plain in _ANYTHING:
        return
    yield plain if plain in _STANDARD else _MEANT.get(plain, word)


def _gather_required(schema: dict[str, Any], notes: dict[str, None]) -> None:
    """Write `required: true` within a property, as draft 3 has it, into the list of the required ones."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return
    flagged = {
        name: part["required"]
        for name, part in properties.items()
        if isinstance(part, dict) and isinstance(part.get("required"), bool)
    }
    required = schema.get("required", [])
    if not flagged or not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        return
    for name in flagged:
        properties[name].pop("required")
    wanted = [name for name, is_required in flagged.items() if is_required]
    if wanted:
        schema["required"] = list(dict.fromkeys((*required, *wanted)))
    notes["required within a property is read as its name in the list of required ones"] = None
