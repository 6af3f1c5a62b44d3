"""Values as chat templates write them where it is not JSON: `True`, `None`, 'single quotes', keys without quotes."""

from __future__ import annotations

import math
from typing import Any

from lora_trainer.data.json_values import DECODER
from lora_trainer.data.tool_calls.marks import skip_space

_DEEPEST = 32
_LONGEST_NUMBER = 400
_LONGEST_KEY = 200
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_QUOTES = ('"', "'")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "/": "/"}
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_NUMBER = frozenset("0123456789+-.eE")


class LiteralError(ValueError):
    """The text is no value, or one that is nested too deeply."""


def read_json(text: str, at: int) -> tuple[Any, int]:
    """Read the JSON value that begins at character `at`, and say where it ends.

    Raises:
        LiteralError: none begins there.
    """
    try:
        return DECODER.raw_decode(text, skip_space(text, at))
    except (ValueError, RecursionError) as error:
        raise LiteralError(str(error)) from None


def read_literal(text: str, at: int, quote: str | None = None) -> tuple[Any, int]:
    """Read a value in a looser notation; texts may also stand between two `quote`.

    Raises:
        LiteralError: none begins there.
    """
    return _Reader(text, quote).value(at, 0)


def whole_literal(text: str) -> Any:
    """Read the value that a text is, in either notation.

    Raises:
        LiteralError: it is none.
    """
    for read in (read_json, read_literal):
        try:
            value, end = read(text, 0)
        except LiteralError:
            continue
        if not text[end:].strip():
            return value
    raise LiteralError("is no value")


class _Reader:
    def __init__(self, text: str, quote: str | None) -> None:
        self._text = text
        self._quotes = (*_QUOTES, quote) if quote else _QUOTES

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        """Read the value at a character, inside of `depth` others, and say where it ends."""
        if depth > _DEEPEST:
            raise LiteralError("is nested too deeply")
        at = skip_space(self._text, at)
        if self._text.startswith("{", at):
            return self._object(at + 1, depth)
        if self._text.startswith("[", at):
            return self._array(at + 1, depth)
        for quote in self._quotes:
            if self._text.startswith(quote, at):
                return self._quoted(at + len(quote), quote)
        return self._word(at)

    def _object(self, at: int, depth: int) -> tuple[dict[str, Any], int]:
        made: dict[str, Any] = {}
        while not self._text.startswith("}", at := skip_space(self._text, at)):
            key, at = self._key(at)
            if key in made:
                raise LiteralError("names a key twice")
            made[key], at = self.value(at, depth + 1)
            at = self._comma(at, "}")
        return made, at + 1

    def _array(self, at: int, depth: int) -> tuple[list[Any], int]:
        made: list[Any] = []
        while not self._text.startswith("]", at := skip_space(self._text, at)):
            value, at = self.value(at, depth + 1)
            made.append(value)
            at = self._comma(at, "]")
        return made, at + 1

    def _comma(self, at: int, end: str) -> int:
        """Go behind the comma at a character, or stay where the end stands instead."""
        at = skip_space(self._text, at)
        if self._text.startswith(",", at):
            return at + 1
        if not self._text.startswith(end, at):
            raise LiteralError(f"has no comma at character {at}")
        return at

    def _key(self, at: int) -> tuple[str, int]:
        for quote in self._quotes:
            if self._text.startswith(quote, at):
                key, at = self._quoted(at + len(quote), quote)
                break
        else:
            end = self._text.find(":", at, at + _LONGEST_KEY)
            key, at = self._text[at:end].strip() if end >= 0 else "", end
        at = skip_space(self._text, at)
        if not key or not self._text.startswith(":", at):
            raise LiteralError("has a key without a value")
        return key, at + 1

    def _quoted(self, at: int, quote: str) -> tuple[str, int]:
        """Read the text that begins at a character and ends with a quote; behind usual quotes backslashes escape."""
        parts: list[str] = []
        end = -1
        while True:
            if end < at:  # else the quote that was found before is still ahead
                end = self._text.find(quote, at)
            if end < 0:
                raise LiteralError("has a text without an end")
            escape = self._text.find("\\", at, end) if quote in _QUOTES else -1
            if escape < 0:
                return "".join([*parts, self._text[at:end]]), end + len(quote)
            escaped, behind = self._escaped(escape + 1)
            parts += [self._text[at:escape], escaped]
            at = behind

    def _escaped(self, at: int) -> tuple[str, int]:
        """Read what a backslash in front of a character means; one that escapes nothing is itself."""
        letter = self._text[at : at + 1]
        digits = self._text[at + 1 : at + 5]
        if letter == "u" and len(digits) == 4 and _HEXADECIMAL.issuperset(digits):
            return chr(int(digits, 16)), at + 5
        return (_ESCAPES[letter], at + 1) if letter in _ESCAPES else ("\\", at)

    def _word(self, at: int) -> tuple[Any, int]:
        """Read a number, or one of the words for true, false and null."""
        end = at
        while end < len(self._text) and (self._text[end].isalnum() or self._text[end] in _NUMBER):
            end += 1
        word = self._text[at:end]
        if word in _WORDS:
            return _WORDS[word], end
        if not word or len(word) > _LONGEST_NUMBER or not _NUMBER.issuperset(word):
            raise LiteralError(f"has no value at character {at}")
        try:
            number = int(word) if word.lstrip("+-").isdigit() else float(word)
        except ValueError:
            raise LiteralError(f"has no number at character {at}") from None
        if not math.isfinite(number):
            raise LiteralError("has a number that JSON has not")
        return number, end
