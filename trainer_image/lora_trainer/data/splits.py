"""Which split a row belongs to: decided by its normalised content and the seed alone.

So equal rows can never lie in two splits, the order of files does not matter, and rows that are added later move no
other row.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Literal

from lora_trainer.data.rows import BadRow, Message

Split = Literal["train", "validation", "test"]


def fingerprint(messages: Sequence[Message]) -> bytes:
    """16 bytes that are equal for conversations that differ in white space or Unicode composition alone.

    Raises:
        BadRow: a text has a lone surrogate, which no file can hold.
    """
    text = "\x1e".join(
        f"{role}\x1f{' '.join(unicodedata.normalize('NFC', content).split())}" for role, content in messages
    )
    try:
        return hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest()
    except UnicodeEncodeError as error:
        raise BadRow("has half of a surrogate pair (\\ud800 to \\udfff), which is not a character") from error


def assign(key: bytes, *, seed: int, validation: float, test: float) -> Split:
    """The split of a row with this fingerprint, given the held-out shares (each 0 to 1)."""
    drawn = hashlib.blake2b(key, digest_size=8, key=seed.to_bytes(8, "big")).digest()
    position = int.from_bytes(drawn, "big") / 2**64
    if position < test:
        return "test"
    return "validation" if position < test + validation else "train"
