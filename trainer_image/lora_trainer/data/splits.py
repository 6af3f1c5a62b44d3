"""Which split a row belongs to: decided by its normalised content and the seed alone.

So equal rows can never lie in two splits, the order of files does not matter, and rows that are added later move no
other row.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable
from typing import Literal

from lora_trainer.data.rows import BadRow, Conversation, Message

Split = Literal["train", "validation", "test"]


def fingerprint(conversation: Conversation) -> bytes:
    """Compute 16 bytes that are equal for conversations that differ in white space or Unicode composition alone.

    Raises:
        BadRow: a text has a lone surrogate, which no file can hold.
    """
    messages, tools, _ = conversation
    turns = [f"{message.role}\x1f{_normal(message.content)}{_more(message)}" for message in messages]
    offered = [f"\x1d{tools.as_json}"] if tools else []
    return _digest("\x1e".join([*turns, *offered]))


def marked(key: bytes, messages: Iterable[Message]) -> bytes:
    """Extend the fingerprint `key` of a conversation by what counts: equal rows that train other answers differ."""
    marks = [message.left_out or ("" if message.weight == 1 else f"{message.weight:g}") for message in messages]
    return _digest(f"{key.hex()}\x1e{marks}") if any(marks) else key


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _more(message: Message) -> str:
    """Write as text what a turn has beside its content."""
    more = {
        "reasoning": _normal(message.reasoning),
        "name": message.name,
        "calls": message.tool_calls,
        "id": message.tool_call_id,
    }
    given = {key: value for key, value in more.items() if value}
    return f"\x1d{json.dumps(given, sort_keys=True, ensure_ascii=False)}" if given else ""


def _digest(text: str) -> bytes:
    try:
        return hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest()
    except UnicodeEncodeError as error:
        raise BadRow("has half of a surrogate pair (\\ud800 to \\udfff), which is not a character") from error


def assign(key: bytes, *, seed: int, validation: float, test: float) -> Split:
    """Assign a row with this fingerprint to a split, given the held-out shares (each 0 to 1)."""
    drawn = hashlib.blake2b(key, digest_size=8, key=seed.to_bytes(8, "big")).digest()
    position = int.from_bytes(drawn, "big") / 2**64
    if position < test:
        return "test"
    return "validation" if position < test + validation else "train"
