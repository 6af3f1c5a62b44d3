"""Which split a row belongs to: decided by its normalised content and the seed alone.

So equal rows can never lie in two splits, the order of files does not matter, and rows that are added later move no
other row.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from typing import Literal

from lora_trainer.data.rows import BadRow, Conversation, Message

Split = Literal["train", "validation", "test"]


def fingerprint(conversation: Conversation) -> bytes:
    """Compute 16 bytes that are equal for conversations that differ in white space or Unicode composition alone.

    Raises:
        BadRow: a text has a lone surrogate, which no file can hold.
    """
    messages, tools = conversation.messages, conversation.tools
    turns = [f"{message.role}\x1f{_normal(message.content)}{_more(message)}" for message in messages]
    offered = [f"\x1d{tools.as_json}"] if tools else []
    return _digest("\x1e".join([*turns, *offered]))


def keys(conversation: Conversation) -> tuple[bytes, bytes]:
    """Compute what a row is known by: a key that no two splits may have, and one that only repeated rows have.

    The first is the fingerprint of a conversation; of preferences that of their prompt, as other answers to a prompt
    that was trained on would not be new to the model. The second also says what counts of the conversation, or which
    answers are compared: equal conversations that train other answers are no repeated rows.
    """
    if conversation.asked:
        prompt = fingerprint(conversation.prompt)
        answers = [fingerprint(conversation)]
        answers += [fingerprint(conversation.with_rejected)] if conversation.rejected else []
        return prompt, _digest(f"{[answer.hex() for answer in answers]}\x1e{conversation.desirable}")
    key = fingerprint(conversation)
    marks = [m.left_out or ("" if m.weight == 1 else f"{m.weight:g}") for m in conversation.messages]
    return key, _digest(f"{key.hex()}\x1e{marks}") if any(marks) else key


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
