"""Rows of jsonl and json files, one at a time: an object a line, or the elements of one array."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from lora_trainer.data.json_values import DECODER, as_row, ends_early, problem_of
from lora_trainer.data.reading.compression import cut_off, open_decompressed
from lora_trainer.data.reading.files import DataFile
from lora_trainer.data.reading.json_array import ArrayReader
from lora_trainer.data.reading.lines import (
    BOM,
    MAX_ROW_BYTES,
    NUL_BYTES,
    NUL_HINT,
    TOO_LONG,
    UTF8_HINT,
    bounded_lines,
    is_cut_character,
    not_utf8,
)
from lora_trainer.data.rows import Place, RawRow
from lora_trainer.errors import bad_data

#: A file may begin with so much white space, bytes.
_MAX_LEADING_SPACE = 4096
#: Keys whose lists are the turns of one row.
_TURNS = ("messages", "conversations", "prompt", "chosen", "conversation")
#: An object whose first key holds a list, which will be the rows.
_LIST_IN_OBJECT = re.compile(r'\s*\{\s*"(?P<key>[A-Za-z_]\w{0,40})"\s*:\s*\[')


def read_json(file: DataFile) -> Iterator[RawRow]:
    """Read one JSON object a line, or one array of objects: the first character tells, whatever the name says.

    Raises:
        TrainerError: the file as a whole is of neither form, or is cut off.
    """
    with open_decompressed(file) as stream:
        start = stream.peek(_MAX_LEADING_SPACE)[:_MAX_LEADING_SPACE].removeprefix(BOM).lstrip()[:1]
        if start == b"[":
            first, second = stream.readline(MAX_ROW_BYTES), stream.readline(MAX_ROW_BYTES)
            _refuse_arrays_in_lines(file, first, second)
    if start != b"[":
        yield from _read_lines(file)
        return
    with open_decompressed(file) as stream:
        yield from ArrayReader(file.name, stream).rows()


def _refuse_arrays_in_lines(file: DataFile, first: bytes, second: bytes) -> None:
    """Refuse a file whose first two lines are arrays, where each line should be an object."""
    if second.lstrip()[:1] == b"[" and isinstance(_value(first), list):
        raise bad_data(
            f"{file.name}, line 1: is an array, and so is line 2; each line must hold an object with columns as keys",
            param=f"{file.name}:1",
            hint="where each array is a list of messages, make it a column, for example with jq -c '{messages: .}'",
        )


def _read_lines(file: DataFile) -> Iterator[RawRow]:
    """Read one JSON object a line; empty lines are passed over."""
    with open_decompressed(file) as stream:
        lines = bounded_lines(file, stream)
        head = list(islice(lines, 2))
        _refuse_object_over_lines(file, [line or b"" for _, line in head])
        for number, line in chain(head, lines):
            place = Place(file.name, number)
            if line is None:
                yield RawRow(place, None, TOO_LONG)
            elif line.strip():
                yield _parse_line(line, place)


def _refuse_object_over_lines(file: DataFile, head: list[bytes]) -> None:
    """Refuse objects that are spread over several lines, as pretty printing leaves them.

    The first line begins an object, and it ends as printers break lines or the second one is not a row of its own.
    """
    if len(head) < 2:
        return
    broken_by_printer = head[0].rstrip().endswith((b"{", b"[", b","))
    if isinstance(_value(head[1]), dict) and not broken_by_printer:
        return
    try:
        DECODER.decode(head[0].decode("utf-8", "replace").strip())
    except json.JSONDecodeError as error:
        if not ends_early(error) or not error.doc.startswith("{"):
            return
    except (ValueError, RecursionError):
        return
    else:
        return
    inner = _LIST_IN_OBJECT.match(b"".join(head).decode("utf-8", "replace"))
    rows = f".{inner['key']}[]" if inner and inner["key"] not in _TURNS else "."
    raise bad_data(
        f"{file.name}, line 1: begins an object that goes on in the next lines;"
        " each line must hold one whole object, or the file one array of objects",
        param=f"{file.name}:1",
        hint=f"write one row a line, for example with jq -c '{rows}'",
    )


def _value(line: bytes) -> Any:
    """Decode the JSON value in a line; None where there is none."""
    try:
        return DECODER.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _parse_line(line: bytes, place: Place) -> RawRow:
    """Read one line that must hold one JSON object.

    Raises:
        TrainerError: the file ends inside this line.
    """
    is_last = not line.endswith(b"\n")
    try:
        # Files that begin with a byte order mark keep it where they are put together.
        value: Any = DECODER.decode(line.removeprefix(BOM).decode("utf-8").rstrip(" \t\r\n"))
    except UnicodeDecodeError as error:
        if is_last and is_cut_character(error):
            raise cut_off(str(place), "it ends inside a character", place.short) from error
        return RawRow(place, None, not_utf8(error), UTF8_HINT)
    except (ValueError, RecursionError) as error:
        if is_last and isinstance(error, json.JSONDecodeError) and ends_early(error):
            problem = "the file ends inside this row, and not with a line break"
            raise cut_off(str(place), problem, place.short) from error
        if b"\0" in line:
            return RawRow(place, None, NUL_BYTES, NUL_HINT)
        return RawRow(place, None, problem_of(error))
    return as_row(value, place)
