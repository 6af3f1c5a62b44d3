"""The elements of a file that holds one JSON array, read one at a time in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from lora_trainer.data.json_values import DECODER, as_row, ends_early, problem_of
from lora_trainer.data.reading.compression import cut_off
from lora_trainer.data.reading.lines import MAX_ROW_BYTES, TOO_LONG, UNREADABLE_HINT, is_cut_character, not_utf8
from lora_trainer.data.rows import Place, RawRow
from lora_trainer.errors import TrainerError, bad_data


class ArrayReader:
    """The elements of one JSON array in bounded memory."""

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self._name = name
        self._stream = stream
        self._buffer = ""
        self._position = 0
        self._line = 1
        self._element = 0
        self._pending = b""
        self._at_end = False

    def rows(self) -> Iterator[RawRow]:
        """Yield the elements with their places.

        Raises:
            TrainerError: what stands between the elements, or one of them, is not JSON; or the array does not end.
        """
        self._fill()
        self._buffer = self._buffer.removeprefix("\ufeff")
        self._expect("[", "an array")
        if self._peek() != "]":
            while True:
                self._peek()
                self._element += 1
                place = self._place()
                yield as_row(self._value(), place)
                if self._peek() == "]":
                    break
                self._expect(",", f"',' or ']' behind element {self._element}")
        self._advance(1)
        if self._peek():
            raise self._failure(Place(self._name, self._line), "has something behind the end of the array")

    def _place(self, line: int | None = None) -> Place:
        return Place(self._name, line or self._line, element=self._element)

    def _failure(self, place: Place, problem: str) -> TrainerError:
        return bad_data(f"{place}: {problem}", param=place.short, hint=UNREADABLE_HINT)

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
                place = Place(self._name, line)
                if self._at_end and is_cut_character(error):
                    raise cut_off(str(place), "it ends inside a character", place.short) from error
                raise self._failure(place, not_utf8(error)) from error
            text, self._pending = data[: error.start].decode("utf-8"), data[error.start :]
        self._buffer = self._buffer[self._position :] + text
        self._position = 0

    def _advance(self, length: int) -> None:
        end = self._position + length
        self._line += self._buffer.count("\n", self._position, end)
        self._position = end

    def _peek(self) -> str:
        """Go to the next character that is not white space, and give it; empty at the end of the file."""
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
        if found == character:
            self._advance(1)
            return
        place = Place(self._name, self._line)
        if not found:
            raise cut_off(str(place), "the array does not end", place.short)
        raise self._failure(place, f"is not JSON: expected {meaning}, found {found!r}")

    def _value(self) -> Any:
        """Read the whole value that begins here."""
        while True:
            try:
                value, end = DECODER.raw_decode(self._buffer, self._position)
            except json.JSONDecodeError as error:
                if not ends_early(error):
                    line = self._line + self._buffer.count("\n", self._position, error.pos)
                    raise self._failure(self._place(line), f"is not JSON: {error.msg}") from error
                if self._at_end:
                    place = self._place()
                    raise cut_off(str(place), "the array does not end", place.short) from error
                if len(self._buffer) - self._position > MAX_ROW_BYTES:
                    raise self._failure(self._place(), TOO_LONG) from error
                self._fill()
                continue
            except (ValueError, RecursionError) as error:
                raise self._failure(self._place(), problem_of(error)) from error
            if end - self._position > MAX_ROW_BYTES:
                raise self._failure(self._place(), TOO_LONG)
            self._advance(end - self._position)
            return value
