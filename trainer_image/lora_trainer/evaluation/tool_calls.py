"""Judging the tool calls of generated answers against those of the references; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from lora_contract.status import ToolCallsStatus
from lora_trainer.data.rows import ToolCall
from lora_trainer.data.tool_calls.equality import same_call
from lora_trainer.data.tool_calls.form import ToolCallForm
from lora_trainer.data.tool_calls.reading import Found, read

_COUNTS = ("rows", "right_rows", "wanted", "right_names", "right_calls", "missing", "unwanted", "unreadable")


def count(
    form: ToolCallForm, answers: Sequence[str], references: Sequence[tuple[ToolCall, ...] | None]
) -> ToolCallsStatus | None:
    """Count the right calls in answers, which still have their special tokens.

    A reference is the calls that are wanted, in any order; None: its row offers no tools, and is passed over.
    Returns None where that is so for all of them.
    """
    judged = [
        _judge(read(form, answer), wanted)
        for answer, wanted in zip(answers, references, strict=True)
        if wanted is not None
    ]
    return _sum(judged) if judged else None


def right_share(counts: ToolCallsStatus | None) -> float | None:
    """Give the share of answers that have all the calls of the reference and no other; None: no row offers tools."""
    return counts.right_rows / counts.rows if counts is not None and counts.rows else None


def _judge(found: Found, wanted: tuple[ToolCall, ...]) -> ToolCallsStatus:
    made = len(found.calls) + found.unreadable
    right = _right_calls(found.calls, wanted)
    names = Counter(call.name for call in found.calls) & Counter(call.name for call in wanted)
    return ToolCallsStatus(
        rows=1,
        right_rows=int(right == len(wanted) == made),
        wanted=len(wanted),
        right_names=names.total(),
        right_calls=right,
        missing=max(0, len(wanted) - made),
        unwanted=max(0, made - len(wanted)),
        unreadable=found.unreadable,
    )


def _right_calls(given: Iterable[ToolCall], wanted: Iterable[ToolCall]) -> int:
    """Count the wanted calls that were made; each call that was made counts once."""
    left = list(given)
    right = 0
    for call in wanted:
        place = next((index for index, other in enumerate(left) if same_call(other, call)), None)
        if place is not None:
            del left[place]
            right += 1
    return right


def _sum(judged: Sequence[ToolCallsStatus]) -> ToolCallsStatus:
    totals = {name: sum(getattr(each, name) for each in judged) for name in _COUNTS}
    return ToolCallsStatus(share=f"{totals['right_rows'] / totals['rows']:.6g}", **totals)
