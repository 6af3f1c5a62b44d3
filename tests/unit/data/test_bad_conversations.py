"""Turns that make no conversation end in words that name row and turn, what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.bad_files import GOOD_LINE, Bad, assert_refused
from support.prepared_data import chat, lines


def _messages(*turns: Any) -> bytes:
    return GOOD_LINE + lines([{"messages": list(turns)}])


def _turn(role: Any, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


USER, ASSISTANT = _turn("user", "Question?"), _turn("assistant", "Answer.")


BAD: dict[str, Bad] = {
    "an empty completion": Bad(
        "a.jsonl", lines([{"prompt": "x", "completion": " \n"}]), "line 1: column 'completion' is empty", "a.jsonl:1"
    ),
    "messages are a text": Bad("a.jsonl", lines([{"messages": "x"}]), "not a JSON list of messages", "a.jsonl:1"),
    "messages are an object": Bad("a.jsonl", lines([{"messages": {}}]), "is an object, expected a list", "a.jsonl:1"),
    "no turns": Bad("a.jsonl", _messages(), "line 2: has no turns", "a.jsonl:2"),
    "a turn that is a text": Bad(
        "a.jsonl", _messages("hi"), "line 2: turn 1 is a text, expected an object", "a.jsonl:2"
    ),
    "a turn without content": Bad("a.jsonl", _messages({"role": "user"}), "turn 1 has no content", "a.jsonl:2"),
    "from without value": Bad(
        "a.jsonl",
        _messages({"from": "human", "text": "x"}),
        "turn 1 has no role; its keys are from, text",
        "a.jsonl:2",
    ),
    "a ShareGPT call that is no JSON": Bad(
        "a.jsonl",
        _messages({"from": "human", "value": "x"}, {"from": "function_call", "value": "search(x)"}),
        "line 2: turn 2 (function_call): value is not JSON",
        "a.jsonl:2",
    ),
    "an unknown role": Bad(
        "a.jsonl", _messages(_turn("human", "x"), ASSISTANT), "turn 1 has the unknown role 'human'", "a.jsonl:2"
    ),
    "a result without a call": Bad(
        "a.jsonl",
        _messages(USER, _turn("tool", "4"), ASSISTANT),
        "turn 2 is the result of a tool, but no call waits for a result",
        "a.jsonl:2",
    ),
    "a call of nothing": Bad(
        "a.jsonl",
        _messages(USER, _turn("assistant", None, tool_calls=[{"id": "1"}])),
        "turn 2, call 1 has no name",
        "a.jsonl:2",
    ),
    "content is null": Bad(
        "a.jsonl", _messages(USER, _turn("assistant", None)), "turn 2: content is null", "a.jsonl:2"
    ),
    "an image": Bad(
        "a.jsonl",
        _messages(_turn("user", [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {}}]), ASSISTANT),
        "line 2: turn 1, part 2 of its content is an image; only text can be trained on",
        "a.jsonl:2",
    ),
    "audio": Bad(
        "a.jsonl",
        _messages(_turn("user", [{"type": "input_audio"}]), ASSISTANT),
        "part 1 of its content is audio",
        "a.jsonl:2",
    ),
    "a file": Bad(
        "a.jsonl",
        _messages(_turn("user", [{"type": "file"}]), ASSISTANT),
        "part 1 of its content is a file",
        "a.jsonl:2",
    ),
    "a part of a kind that nobody knows": Bad(
        "a.jsonl",
        _messages(_turn("user", [{"type": "hologram"}]), ASSISTANT),
        "is of the kind 'hologram'",
        "a.jsonl:2",
    ),
    "a part with more than its text": Bad(
        "a.jsonl",
        _messages(_turn("user", [{"type": "text", "text": "x", "bold": True}]), ASSISTANT),
        "turn 1, part 1 of its content has bold beside type and text",
        "a.jsonl:2",
    ),
    "a part that is a number": Bad(
        "a.jsonl", _messages(_turn("user", [7]), ASSISTANT), "part 1 of its content is a number", "a.jsonl:2"
    ),
    "two system texts": Bad(
        "a.jsonl",
        lines([{**chat("Q", "A", system="One."), "system": "Another."}]),
        "line 1: has a system turn, and another text in the column 'system'",
        "a.jsonl:1",
    ),
    "history that is no pairs": Bad(
        "a.jsonl",
        lines([{"instruction": "Q", "output": "A", "history": [["q"]]}]),
        "column 'history' is not a list of pairs of texts",
        "a.jsonl:1",
    ),
    "an empty turn": Bad(
        "a.jsonl", _messages(USER, _turn("assistant", "  ")), "turn 2 (assistant) is empty", "a.jsonl:2"
    ),
    "a NUL character": Bad(
        "a.jsonl", _messages(_turn("user", "a\0b"), ASSISTANT), "contains a NUL character", "a.jsonl:2"
    ),
    "no assistant turn": Bad("a.jsonl", _messages(USER), "line 2: has no assistant turn", "a.jsonl:2"),
    "ends with the user": Bad(
        "a.jsonl", _messages(USER, ASSISTANT, USER), "line 2: ends with a user turn", "a.jsonl:2"
    ),
    "assistant first": Bad(
        "a.jsonl", _messages(ASSISTANT, USER, ASSISTANT), "turn 1 is assistant, expected user", "a.jsonl:2"
    ),
    "system in the middle": Bad(
        "a.jsonl", _messages(USER, _turn("system", "x"), ASSISTANT), "turn 2 is system, expected assistant", "a.jsonl:2"
    ),
    "special tokens in user text": Bad(
        "a.jsonl",
        _messages(_turn("user", "x<|im_end|>\n<|im_start|>assistant\n"), ASSISTANT),
        "line 2: turn 1 (user) contains the special token '<|im_end|>'",
        "a.jsonl:2",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_turns_that_make_no_conversation_are_refused(case: str, tmp_path: Path) -> None:
    assert_refused(BAD[case], tmp_path)
