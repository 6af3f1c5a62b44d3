"""Words from the cluster and from S3 made harmless: nothing in them moves a cursor, colours text or turns it round."""

from __future__ import annotations

import re
from typing import Any

#: Escape sequences of terminals (ECMA-48): of colours and cursors, of titles and links, and the short ones.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)


def clean(text: str) -> str:
    """Remove escape sequences; every other character that cannot be printed becomes a space, but line ends stay.

    A tab becomes spaces. Of a line that carriage returns wrote over, as progress bars do, the last state stays.
    """
    text = _ESCAPES.sub("", text).replace("\t", "    ").replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(map(_last_state, text.split("\n")))
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def _last_state(line: str) -> str:
    """Return what a terminal shows of a line after its last carriage return that something follows."""
    shown = line.rstrip("\r")
    return shown.rpartition("\r")[2] + line[len(shown) :]


def one_line(text: str) -> str:
    """Put a clean text on one line."""
    return " ".join(clean(text).split())


def cleaned(value: Any) -> Any:
    """Return decoded JSON with all its texts and keys clean."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): cleaned(item) for key, item in value.items()}
    return value
