"""Rows of csv files, one at a time, each with its line."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from lora_contract.counts import counted
from lora_trainer.data.reading.compression import cut_off, open_decompressed
from lora_trainer.data.reading.files import DataFile
from lora_trainer.data.reading.lines import (
    MAX_ROW_BYTES,
    TOO_LONG,
    UNREADABLE_HINT,
    bounded_lines,
    is_cut_character,
    not_utf8,
)
from lora_trainer.data.rows import Place, RawRow
from lora_trainer.errors import bad_data

#: A row of so many columns costs as many steps, however few bytes it has.
MAX_COLUMNS = 1000


class _Lines:
    """The lines of a file as text; `ended` tells whether the last one has its line break."""

    def __init__(self, file: DataFile, stream: BinaryIO) -> None:
        self._file = file
        self._stream = stream
        self.ended = True

    def __iter__(self) -> Iterator[str]:
        for number, line in bounded_lines(self._file, self._stream):
            place = Place(self._file.name, number)
            if line is None:
                raise bad_data(f"{place}: {TOO_LONG}", param=place.short, hint=UNREADABLE_HINT)
            self.ended = line.endswith((b"\n", b"\r"))
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                if is_cut_character(error) and not self.ended:
                    raise cut_off(str(place), "it ends inside a character", place.short) from error
                raise bad_data(f"{place}: {not_utf8(error)}", param=place.short, hint=UNREADABLE_HINT) from error


def read_csv(file: DataFile) -> Iterator[RawRow]:
    """Read comma-separated values with a header; fields may be quoted with `"` and hold line breaks (RFC 4180)."""
    csv.field_size_limit(MAX_ROW_BYTES)
    with open_decompressed(file) as stream:
        lines = _Lines(file, stream)
        reader = csv.reader(lines, strict=True)
        start = 1
        try:
            header = _named(next(reader, []))
            _check_header(header, file)
            start = reader.line_num + 1
            for fields in reader:
                place, start = Place(file.name, start), reader.line_num + 1
                if not fields:
                    continue
                if len(fields) < len(header) and not lines.ended:
                    problem = f"its last row has {len(fields)} of {len(header)} fields and no line break"
                    raise cut_off(str(place), problem, place.short)
                if not any(fields):  # a spreadsheet writes its empty rows as commas
                    continue
                if len(fields) != len(header):
                    problem = f"has {len(fields)} fields, the header has {len(header)}; quote fields that hold commas"
                    yield RawRow(place, None, problem)
                else:
                    yield RawRow(place, dict(zip(header, fields, strict=True)))
        except csv.Error as error:
            place = Place(file.name, start)
            if str(error) == "unexpected end of data":
                raise bad_data(
                    f"{place}: is cut off, or a quote that opens in this row is never closed",
                    param=place.short,
                    hint='upload the file again, whole, or close the quote: each " inside a field is doubled',
                ) from error
            if "new-line character" in str(error):
                raise bad_data(
                    f"{place}: is not CSV: has a carriage return that no line feed follows",
                    param=place.short,
                    hint="end the lines with a line feed, with or without a carriage return before it",
                ) from error
            raise bad_data(
                f"{place}: is not CSV: {error}",
                param=place.short,
                hint='check the quotes: each " inside a field is doubled',
            ) from error


def _named(header: list[str]) -> list[str]:
    """Name columns without a name, such as the index that pandas writes, as pandas does when it reads them."""
    return [name if name.strip() else f"Unnamed: {index}" for index, name in enumerate(header)]


def _check_header(header: list[str], file: DataFile) -> None:
    if header and header[0].startswith("sep="):
        raise bad_data(
            f"{file.name}, line 1: names the separator for Excel, where the names of the columns are expected",
            param=f"{file.name}:1",
            hint="remove this line, and write commas between the fields",
        )
    repeated = sorted(name for name, times in Counter(header).items() if times > 1)
    if repeated:
        raise bad_data(
            f"{file.name}, line 1: the header names {repeated[0]!r} twice",
            param=f"{file.name}:1",
            hint="name every column once",
        )
    if len(header) > MAX_COLUMNS:
        raise bad_data(
            f"{file.name}, line 1: the header has {counted(len(header), 'column')}, at most {MAX_COLUMNS} are read",
            param=f"{file.name}:1",
            hint="write a file with the columns to train on",
        )
