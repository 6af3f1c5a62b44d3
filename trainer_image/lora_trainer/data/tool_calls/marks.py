"""The texts around calls, in an answer: found whatever white space stands in and beside them."""

from __future__ import annotations


def skip_space(text: str, at: int) -> int:
    """Find the first character from `at` on that is no white space."""
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def match(text: str, mark: str, at: int) -> int | None:
    """Give where a mark that begins at character `at`, or behind white space there, ends; None: it is not there."""
    for word in mark.split():
        at = skip_space(text, at)
        if not text.startswith(word, at):
            return None
        at += len(word)
    return at


def find(text: str, mark: str, at: int) -> tuple[int, int] | None:
    """Find where a mark that is not all white space begins and ends, from character `at` on; None: nowhere."""
    first, *_ = mark.split()
    begin = text.find(first, at)
    while begin >= 0:
        end = match(text, mark, begin)
        if end is not None:
            return begin, end
        begin = text.find(first, begin + 1)
    return None
