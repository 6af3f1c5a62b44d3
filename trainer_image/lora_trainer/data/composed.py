"""Texts with each letter and its marks as one character (NFC), in time that grows with their length."""

from __future__ import annotations

import unicodedata

import regex

#: More marks on one letter than writing has (UAX #15, Stream-Safe Text Format): to put them in order takes the square
#: of their number, in one call that nothing can end.
_TOO_MANY_MARKS = regex.compile(r"\p{M}{31}")


def composed(text: str) -> str:
    """Return the text in NFC; as it is where a letter has more marks than any writing."""
    return text if _TOO_MANY_MARKS.search(text) else unicodedata.normalize("NFC", text)
