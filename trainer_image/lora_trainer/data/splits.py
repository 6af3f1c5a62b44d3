"""Which split a row belongs to: decided by the position that its normalised content and the seed give it.

So equal rows can never lie in two splits, and the order of files does not matter. The rows with the lowest positions
are the test split, the next ones the validation split. Where the shares of the spec are the bounds, rows that are added
later move no other row; of many rows these bounds hold out the shares closely. Where they would hold out too many or
too few, as of few rows, the bounds are moved so that the numbers are exact (`exact_bounds`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np

from lora_trainer.data.composed import composed
from lora_trainer.data.rows import BadRow, Conversation, Message

Split = Literal["train", "validation", "test"]
#: How far the rows of a split may be from its share of all rows, as a share of them, before its bounds are moved.
_TOLERATED = 0.25


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
        return fingerprint(conversation.prompt), _preference(_compared(conversation), conversation.desirable)
    key = fingerprint(conversation)
    marks = [m.left_out or ("" if m.weight == 1 else f"{m.weight:g}") for m in conversation.messages]
    return key, _digest(f"{key.hex()}\x1e{marks}") if any(marks) else key


def opposite(conversation: Conversation) -> bytes:
    """Compute the second key of a row that prefers what this row of preferences rejects, and the other way round."""
    desirable = None if conversation.desirable is None else not conversation.desirable
    return _preference(_compared(conversation)[::-1], desirable)


def _compared(conversation: Conversation) -> list[bytes]:
    """Compute the fingerprints of the prompt with each answer that is compared."""
    return [fingerprint(conversation), *([fingerprint(conversation.with_rejected)] if conversation.rejected else [])]


def _preference(answers: Sequence[bytes], desirable: bool | None) -> bytes:
    return _digest(f"{[answer.hex() for answer in answers]}\x1e{desirable}")


def _normal(text: str) -> str:
    return " ".join(composed(text).split())


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


class Bounds(NamedTuple):
    """Where the splits end: test rows have positions below `test`, validation rows from there to below `validation`."""

    test: float
    validation: float


def shares_as_bounds(*, validation: float, test: float) -> Bounds:
    """Give the bounds that hold out these shares (each 0 to 1) of many rows."""
    return Bounds(test, test + validation)


def position(key: bytes, seed: int) -> float:
    """Compute the position of a row with this fingerprint, from 0 to 1."""
    drawn = hashlib.blake2b(key, digest_size=8, key=seed.to_bytes(8, "big")).digest()
    return int.from_bytes(drawn, "big") / 2**64


def assign(place: float, bounds: Bounds) -> Split:
    """Tell the split of the row at a position."""
    if place < bounds.test:
        return "test"
    return "validation" if place < bounds.validation else "train"


def exact_bounds(positions: Sequence[float], *, validation: float, test: float) -> Bounds | None:
    """Give the bounds that hold out exactly these shares of the rows at `positions`, rounded to whole rows.

    None: the shares as bounds do so already, or miss neither number by more than a quarter of it.
    """
    ordered = np.sort(np.asarray(positions, dtype=np.float64))
    drawn_test, drawn_held_out = np.searchsorted(ordered, (test, test + validation)).tolist()
    drawn_validation = drawn_held_out - drawn_test
    wanted_test, wanted_validation = _whole_rows(len(ordered), validation=validation, test=test)
    if _is_close(drawn_test, wanted_test) and _is_close(drawn_validation, wanted_validation):
        return None
    ends = (
        ordered[end].item() if end < len(ordered) else math.inf
        for end in (wanted_test, wanted_test + wanted_validation)
    )
    return Bounds(*ends)


def _is_close(drawn: int, wanted: int) -> bool:
    return abs(drawn - wanted) <= wanted * _TOLERATED


def _whole_rows(rows: int, *, validation: float, test: float) -> tuple[int, int]:
    """Tell how many rows are test and validation rows: largest remainders, of equal ones the test split first."""
    # As the spec writes them: 0.1 of 30 rows are 3, and 0.3 of 10 as well.
    held_out = [rows * Fraction(str(share)) for share in (test, validation)]
    quotas = [*held_out, rows - sum(held_out)]
    whole = [math.floor(quota) for quota in quotas]
    by_remainder = sorted(range(3), key=lambda index: whole[index] - quotas[index])
    for index in by_remainder[: rows - sum(whole)]:
        whole[index] += 1
    return whole[0], whole[1]
