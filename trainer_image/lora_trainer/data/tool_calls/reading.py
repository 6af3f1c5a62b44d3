"""Calls of tools in an answer. The answer is hostile input: everything here is bounded, and no pattern is matched."""

from __future__ import annotations

from typing import Any, NamedTuple

from lora_trainer.data.rows import ToolCall
from lora_trainer.data.thought import behind_thought
from lora_trainer.data.tool_calls.equality import Unquoted
from lora_trainer.data.tool_calls.form import ToolCallForm
from lora_trainer.data.tool_calls.literals import LiteralError, read_json, read_literal
from lora_trainer.data.tool_calls.marks import find, match

#: Characters of an answer that are looked at, and calls that may begin in it.
MOST_CHARACTERS = 1 << 16
MOST_CALLS = 32
_LONGEST_NAME = 200
_MOST_PARAMETERS = 256


class Found(NamedTuple):
    """The calls of an answer, and how many more begin in it that cannot be read."""

    calls: tuple[ToolCall, ...] = ()
    unreadable: int = 0


def read(form: ToolCallForm, answer: str) -> Found:
    """Read the calls in an answer, which still has its special tokens, behind what is thought in front of them.

    What cannot be looked at, as the answer is too long or has too many calls, counts as one that cannot be read.
    """
    text = behind_thought(form.thought, answer)
    if len(text) > MOST_CHARACTERS:
        return Found(unreadable=1)
    if not form.open.strip():
        return _bare(form, text)
    calls: list[ToolCall] = []
    unreadable = 0
    at = _behind(text, form.open, 0)
    while at is not None:
        if len(calls) + unreadable == MOST_CALLS:
            return Found(tuple(calls), unreadable + 1)
        try:
            call, end = _call(form, text, at)
        except LiteralError:
            unreadable += 1
            at = _behind(text, form.open, at)
            continue
        calls.append(call)
        following = None if form.next is None else match(text, form.next, end)
        at = _behind(text, form.open, end) if following is None else following
    return Found(tuple(calls), unreadable)


def _behind(text: str, mark: str, at: int) -> int | None:
    found = find(text, mark, at)
    return None if found is None else found[1]


def _bare(form: ToolCallForm, text: str) -> Found:
    """Read the call that an answer is as a whole, where nothing announces calls (Llama 3)."""
    if not text.lstrip().startswith("{") or f'"{form.name_key}"' not in text:
        return Found()
    try:
        call, _ = _call(form, text, 0)
    except LiteralError:
        return Found(unreadable=1)
    return Found((call,))


def _call(form: ToolCallForm, text: str, at: int) -> tuple[ToolCall, int]:
    """Read the call that begins at character `at`, and say where it ends, `close` included.

    Raises:
        LiteralError: what stands there is none.
    """
    if form.kind == "call":
        value, at = read_json(text, at)
        name, arguments = _parts(form, value)
    else:
        follows = ["{"] if form.kind == "arguments" else [form.parameter_open, form.close]
        name, at = _name(text, at, [form.behind_name] if form.behind_name.strip() else follows)
        at = _expect(text, form.behind_name, at)
        arguments, at = (_value if form.kind == "arguments" else _parameters)(form, text, at)
    end = match(text, form.close, at)
    if end is None and text[at:].strip():
        raise LiteralError("goes on behind its end")
    if not isinstance(arguments, dict):
        raise LiteralError("has arguments that are no object")
    return ToolCall(name, arguments), len(text) if end is None else end


def _parts(form: ToolCallForm, value: Any) -> tuple[str, Any]:
    """Take name and arguments from the object that a call is; some templates write the arguments as text."""
    if not isinstance(value, dict) or not isinstance(value.get(form.name_key), str):
        raise LiteralError("has no name")
    arguments = value.get(form.arguments_key)
    if isinstance(arguments, str):
        arguments, _ = read_json(arguments, 0)
    return value[form.name_key], arguments


def _name(text: str, at: int, ends: list[str]) -> tuple[str, int]:
    """Read the name that begins at character `at`, and say where the first of `ends` begins behind it."""
    found = [place[0] for end in ends if end.strip() and (place := find(text, end, at)) is not None]
    name = text[at : min(found)].strip() if found else ""
    if not 0 < len(name) <= _LONGEST_NAME:
        raise LiteralError("has no name")
    return name, min(found)


def _expect(text: str, mark: str, at: int) -> int:
    end = match(text, mark, at)
    if end is None:
        raise LiteralError(f"lacks {mark.strip()!r}")
    return end


def _value(form: ToolCallForm, text: str, at: int) -> tuple[Any, int]:
    return read_json(text, at) if form.notation == "json" else read_literal(text, at, form.quote)


def _parameters(form: ToolCallForm, text: str, at: int) -> tuple[dict[str, Any], int]:
    """Read the arguments that stand one by one, and say where `close` begins."""
    made: dict[str, Any] = {}
    while match(text, form.close, at) is None:
        if len(made) == _MOST_PARAMETERS:
            raise LiteralError("has too many arguments")
        at = _expect(text, form.parameter_open, _expect(text, form.parameter_next, at) if made else at)
        name, at = _name(text, at, [form.parameter_mid])
        if name in made:
            raise LiteralError("names an argument twice")
        made[name], at = _parameter(form, text, at)
    return made, at


def _parameter(form: ToolCallForm, text: str, at: int) -> tuple[Any, int]:
    """Read the value whose `parameter_mid` begins at character `at`, and say where `parameter_close` ends."""
    at = _expect(text, form.parameter_mid, at)
    if form.notation != "text":
        value, at = _value(form, text, at)
        return value, _expect(text, form.parameter_close, at)
    end = find(text, form.parameter_close, at)
    if end is None:
        raise LiteralError("has a value without an end")
    # The white space that the template writes on either side is not part of the value.
    before = form.parameter_mid[len(form.parameter_mid.rstrip()) :]
    behind = form.parameter_close[: -len(form.parameter_close.lstrip())]
    return Unquoted(text[at : end[0]].removeprefix(before).removesuffix(behind)), end[1]
