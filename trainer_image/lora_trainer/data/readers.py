"""Rows of jsonl, json and csv files, one at a time, each with its line. Parquet is read in `parquet_reader`."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

from lora_trainer.data.files import DataFile, open_decompressed
from lora_trainer.data.rows import Place, RawRow
from lora_trainer.errors import TrainerError, bad_data

#: Longest line, field or element, bytes.
MAX_ROW_BYTES = 1 << 20
#: A longer line is passed over only up to here, bytes: a file of one line would be read to its end for one message.
MAX_SKIPPED_BYTES = 256 << 20
#: Empty lines are passed over, but a file of them alone would take minutes.
MAX_EMPTY_LINES = 10_000
TOO_LONG = "is longer than 1 MiB; split the row, or leave out columns that are not used"
_HINT = "correct the file; rows behind this place cannot be read"
_BOM = b"\xef\xbb\xbf"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"has {name}, which is not JSON; write null or leave the field out")


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts
        raise ValueError(f"has a number of {len(digits)} digits; write it as a text") from None


DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_integer)


def not_utf8(error: UnicodeDecodeError) -> str:
    """The words for bytes that are not UTF-8."""
    byte = error.object[error.start]
    utf16 = "; it looks like UTF-16" if byte in (0xFE, 0xFF) else ""
    return f"is not UTF-8 (byte 0x{byte:02x} at position {error.start + 1}{utf16}); save the file as UTF-8"


def _parse_line(line: bytes, place: Place) -> RawRow:
    """One line that must hold one JSON object."""
    try:
        value: Any = DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return RawRow(place, None, not_utf8(error))
    except json.JSONDecodeError as error:
        array = "; a file with one JSON array is named .json" if place.number == 1 and line.lstrip()[:1] == b"[" else ""
        return RawRow(place, None, f"is not JSON: {error.msg} at column {error.colno}{array}")
    except ValueError as error:
        return RawRow(place, None, str(error))
    except RecursionError:
        return RawRow(place, None, "is nested too deeply")
    return as_row(value, place)


def as_row(value: Any, place: Place) -> RawRow:
    """A row of a JSON value, which must be an object."""
    if not isinstance(value, dict):
        return RawRow(place, None, f"is {json_type(value)}, expected an object with columns as keys")
    return RawRow(place, value)


def json_type(value: Any) -> str:
    """The JSON name of a value's type, with its article."""
    names = {dict: "an object", list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")


def _bounded_lines(file: DataFile, stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Lines with their numbers; None stands for a line beyond the bound, the rest of which is passed over."""
    number = empty = 0
    while line := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(_BOM)
        if len(line) <= MAX_ROW_BYTES:
            empty += line in (b"\n", b"\r\n")
            if empty > MAX_EMPTY_LINES:
                raise bad_data(
                    f"{file.name} has more than {MAX_EMPTY_LINES} empty lines", param=file.name, hint="remove them"
                )
            yield number, line
            continue
        skipped = len(line)
        while line and not line.endswith(b"\n"):
            line = stream.readline(MAX_ROW_BYTES)
            skipped += len(line)
            if skipped > MAX_SKIPPED_BYTES:
                place = Place(file.name, number)
                raise bad_data(f"{place}: has no end within {skipped >> 20} MiB", param=place.short, hint=_HINT)
        yield number, None


def read_json_lines(file: DataFile) -> Iterator[RawRow]:
    """One JSON object a line; empty lines are passed over."""
    with open_decompressed(file) as stream:
        for number, line in _bounded_lines(file, stream):
            place = Place(file.name, number)
            if line is None:
                yield RawRow(place, None, TOO_LONG)
            elif line.strip():
                yield _parse_line(line, place)


def read_json(file: DataFile) -> Iterator[RawRow]:
    """A JSON array of objects, read element by element; or one object a line, told by the first character."""
    with open_decompressed(file) as stream:
        start = stream.peek(64)[:64].removeprefix(_BOM).lstrip()[:1]
    if start != b"[":
        yield from read_json_lines(file)
        return
    with open_decompressed(file) as stream:
        yield from _ArrayReader(file.name, stream).rows()


class _ArrayReader:
    """The elements of one JSON array in bounded memory."""

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self._name = name
        self._stream = stream
        self._buffer = ""
        self._position = 0
        self._line = 1
        self._pending = b""
        self._at_end = False

    def rows(self) -> Iterator[RawRow]:
        self._fill()
        self._buffer = self._buffer.removeprefix("\ufeff")
        self._expect("[", "an array")
        if self._peek() == "]":
            return
        while True:
            self._peek()
            place = Place(self._name, self._line)
            yield as_row(self._element(), place)
            if self._peek() == "]":
                break
            self._expect(",", "',' or ']' between rows")
        self._advance(1)
        if self._peek():
            raise self._failure("has something behind the end of the array")

    def _failure(self, problem: str, line: int | None = None) -> TrainerError:
        place = Place(self._name, line or self._line)
        return bad_data(
            f"{place}: {problem}", param=place.short, hint="correct the file; rows behind it cannot be read"
        )

    def _fill(self) -> None:
        """Read on; twice what is there, so that growing costs linear time."""
        wanted = max(1 << 16, len(self._buffer) - self._position)
        chunk = self._stream.read(wanted)
        self._at_end = not chunk
        data = self._pending + chunk
        try:
            text = data.decode("utf-8")
            self._pending = b""
        except UnicodeDecodeError as error:
            if self._at_end or error.end < len(data) - 3:
                line = self._line + self._buffer[self._position :].count("\n") + data[: error.start].count(b"\n")
                raise self._failure(not_utf8(error), line) from error
            text, self._pending = data[: error.start].decode("utf-8"), data[error.start :]
        self._buffer = self._buffer[self._position :] + text
        self._position = 0

    def _advance(self, length: int) -> None:
        end = self._position + length
        self._line += self._buffer.count("\n", self._position, end)
        self._position = end

    def _peek(self) -> str:
        """The next character that is not white space; empty at the end of the file."""
        while True:
            rest = self._buffer[self._position : self._position + 4096]
            space = len(rest) - len(rest.lstrip(" \t\r\n"))
            self._advance(space)
            if space < len(rest):
                return rest[space]
            if not rest:
                if self._at_end:
                    return ""
                self._fill()

    def _expect(self, character: str, meaning: str) -> None:
        found = self._peek()
        if found != character:
            raise self._failure(
                f"is not JSON: expected {meaning}, found {found!r}" if found else "the array does not end"
            )
        self._advance(1)

    def _element(self) -> Any:
        while True:
            try:
                value, end = DECODER.raw_decode(self._buffer, self._position)
            except json.JSONDecodeError as error:
                if not self._at_end and len(self._buffer) - self._position <= MAX_ROW_BYTES:
                    self._fill()
                    continue
                if not self._at_end:
                    raise self._failure(TOO_LONG) from error
                line = self._line + self._buffer.count("\n", self._position, error.pos)
                raise self._failure(f"is not JSON: {error.msg}", line) from error
            except ValueError as error:
                raise self._failure(str(error)) from error
            except RecursionError as error:
                raise self._failure("is nested too deeply") from error
            if end - self._position > MAX_ROW_BYTES:
                raise self._failure(TOO_LONG)
            self._advance(end - self._position)
            return value


def _csv_lines(file: DataFile, stream: BinaryIO) -> Iterator[str]:
    for number, line in _bounded_lines(file, stream):
        place = Place(file.name, number)
        if line is None:
            raise bad_data(f"{place}: {TOO_LONG}", param=place.short, hint=_HINT)
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise bad_data(f"{place}: {not_utf8(error)}", param=place.short, hint=_HINT) from error


def _check_header(header: list[str], file: DataFile) -> None:
    repeated = sorted(name for name, times in Counter(header).items() if times > 1)
    if repeated or not all(name.strip() for name in header):
        problem = f"names {repeated[0]!r} twice" if repeated else "has a column without a name"
        raise bad_data(
            f"{file.name}, line 1: the header {problem}", param=f"{file.name}:1", hint="name every column once"
        )


def read_csv(file: DataFile) -> Iterator[RawRow]:
    """Comma-separated values with a header; fields may be quoted with `"` and hold line breaks (RFC 4180)."""
    csv.field_size_limit(MAX_ROW_BYTES)
    with open_decompressed(file) as stream:
        reader = csv.reader(_csv_lines(file, stream), strict=True)
        start = 1
        try:
            header = next(reader, [])
            _check_header(header, file)
            start = reader.line_num + 1
            for fields in reader:
                place, start = Place(file.name, start), reader.line_num + 1
                if not fields:
                    continue
                if len(fields) != len(header):
                    problem = f"has {len(fields)} fields, the header has {len(header)}; quote fields that hold commas"
                    yield RawRow(place, None, problem)
                else:
                    yield RawRow(place, dict(zip(header, fields, strict=True)))
        except csv.Error as error:
            place = Place(file.name, start)
            raise bad_data(
                f"{place}: is not CSV: {error}",
                param=place.short,
                hint='check the quotes: each " inside a field is doubled',
            ) from error
