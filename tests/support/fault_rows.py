"""Rows with one known fault each, as lines of a JSON Lines file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from support.conversations import QUESTION, answer, call, result
from support.published_templates import TOOLS


def line(row: Any) -> bytes:
    """A row as a line of a file."""
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


USER, ANSWER = {"role": "user", "content": "Question?"}, answer("Answer.")
#: Rows without a fault, in each format.
GOOD = line({"messages": [USER, ANSWER]})
PAIR = line({"prompt": "Question?", "completion": "Answer."})
DOCUMENT = line({"text": "Once upon a time."})
TOKENS = line({"input_ids": [1, 2, 3]})


@dataclass(frozen=True)
class Fault:
    """A row with a fault, the good one in front of it, the published template it meets, and changes of the spec."""

    line: bytes
    good: bytes = GOOD
    family: str = "qwen3"
    changes: dict[str, Any] = field(default_factory=dict)


def _turns(*turns: Any, **more: Any) -> Fault:
    return Fault(line({"messages": list(turns), **more}))


def _with(key: str, value: Any, **changes: Any) -> Fault:
    """An answer with one more key."""
    return Fault(line({"messages": [USER, answer("Answer.", **{key: value})]}), changes=changes)


def _calls(*calls: Any, tools: Any = TOOLS, results: bool = True) -> Fault:
    """A row whose first answer makes these calls."""
    answers = [result(), answer("Take a coat.")] if results else [answer("Take a coat.")]
    return _turns(QUESTION, answer(None, tool_calls=list(calls)), *answers, tools=tools)


def _tool(**function: Any) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": "get_weather", **function}}]


def _plain(form: str, good: bytes, row: Any) -> Fault:
    return Fault(line(row), good, changes={"dataset__format": form})


#: By what they are about.
FAULTS: dict[str, dict[str, Fault]] = {
    "JSON": {
        "text that is no JSON": Fault(b"{'prompt': 'x'}\n"),
        "two objects on a line": Fault(b'{"a": 1} {"a": 2}\n'),
        "a key that stands twice": Fault(b'{"messages": [], "messages": []}\n'),
        "NaN": Fault(b'{"messages": [], "score": NaN}\n'),
        "a number of 5000 digits": Fault(b'{"messages": ' + b"9" * 5000 + b"}\n"),
        "a row that is no object": Fault(b"42\n"),
        "an empty object": Fault(b"{}\n"),
        "nesting without end": Fault(b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"),
        "NUL bytes": Fault(GOOD.strip() + b"\0" * 8 + b"\n"),
        "bytes that are no UTF-8": Fault('{"messages": "größe"}\n'.encode("latin-1")),
        "half a surrogate pair": Fault(
            b'{"messages": [{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "x"}]}\n'
        ),
        "a row of more than 1 MiB": _turns({"role": "user", "content": "x" * (1 << 20)}, ANSWER),
        "more columns than are read": Fault(line({f"column{n}": "x" for n in range(1001)})),
    },
    "Turns": {
        "no turns": _turns(),
        "messages that are an object": Fault(line({"messages": USER})),
        "a turn that is a text": _turns("Question?", ANSWER),
        "a turn without a role": _turns({"content": "Question?"}, ANSWER),
        "a turn without content": _turns({"role": "user"}, ANSWER),
        "an unknown role": _turns({"role": "narrator", "content": "It rains."}, ANSWER),
        "a role of another tool": _turns({"role": "Human", "content": "Question?"}, ANSWER),
        "an answer of white space": _turns(USER, answer("  ")),
        "content that is null": _turns(USER, answer(None)),
        "content that is a number": _turns({"role": "user", "content": 7}, ANSWER),
        "a NUL character": _turns({"role": "user", "content": "a\0b"}, ANSWER),
        "no answer": _turns(USER),
        "a question at the end": _turns(USER, ANSWER, USER),
        "an answer at the beginning": _turns(ANSWER, USER, ANSWER),
        "a system turn in the middle": _turns(USER, {"role": "system", "content": "Be brief."}, ANSWER),
        "a special token in a text": _turns({"role": "user", "content": "x<|im_end|>"}, ANSWER),
        "a key that is not known": _with("sentiment", "kind"),
        "reasoning in two keys": _turns(USER, answer("Answer.", reasoning="One.", thinking="Two.")),
        "a system text twice": Fault(
            line({"messages": [{"role": "system", "content": "A."}, USER, ANSWER], "system": "B."}),
            line({"messages": [USER, ANSWER], "system": "B."}),
        ),
        "an image": _turns({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ANSWER),
        "a column of images": Fault(line({"messages": [USER, ANSWER], "images": ["cat.png"]})),
        "a call as a part": _turns(USER, answer([{"type": "tool_use", "id": "1", "name": "f", "input": {}}])),
        "a part with more than its text": _turns(
            {"role": "user", "content": [{"type": "text", "text": "x", "bold": True}]}, ANSWER
        ),
    },
    "What is learned": {
        "a weight above 1": _with("weight", 2),
        "a weight that is a text": _with("weight", "1"),
        "a weight of nearly nothing": _with("weight", 0.0001),
        "train that is a text": _with("train", "yes"),
        "weight and train that contradict": _turns(USER, answer("Answer.", weight=1, train=False)),
        "a question that is to be learned": _turns({**USER, "weight": 1}, ANSWER),
        "no answer that counts": _with("weight", 0),
        "weight 0 where all is learned": Fault(
            line({"messages": [USER, answer("Answer.", weight=0), USER, ANSWER]}), changes={"training__trainOn": "all"}
        ),
    },
    "Tools": {
        "a tool that is not declared": _calls({**call(), "function": {"name": "get_time", "arguments": {}}}),
        "a call without tools": _calls(call(), tools=[]),
        "arguments that break the schema": _calls(call({"town": "Oslo"})),
        "arguments that are no JSON": _calls(call("{city: Oslo}")),
        "arguments that are a list": _calls(call(["Oslo"])),
        "a call without a name": _calls({"id": "call00001", "function": {"arguments": {}}}),
        "two calls with one id": _calls(call(), call()),
        "a key of a call that is not known": _calls(call(priority=1)),
        "a call without a result": _calls(call(), results=False),
        "a call as a text": _turns(
            QUESTION, answer('[{"name": "get_weather", "arguments": {"city": "Oslo"}}]'), tools=TOOLS
        ),
        "a result without a call": _turns(USER, result(), ANSWER),
        "a result that is an object": _turns(
            QUESTION, answer(None, tool_calls=[call()]), {**result(), "content": {"rain": "heavy"}}, ANSWER, tools=TOOLS
        ),
        "a result of another call": _turns(
            QUESTION, answer(None, tool_calls=[call()]), result(tool_call_id="call99999"), ANSWER, tools=TOOLS
        ),
        "tools that are a number": _calls(call(), tools=7),
        "a tool without a name": _calls(call(), tools=[{"type": "function", "function": {}}]),
        "a tool with the schema of another API": _calls(
            call(), tools=[{"name": "f", "input_schema": {"type": "object"}}]
        ),
        "a tool as MCP has it": _calls(call(), tools=[{"name": "f", "inputSchema": {"type": "object"}}]),
        "a tool that is no function": _calls(call(), tools=[{"type": "retrieval"}]),
        "a tool that is declared twice": _calls(call(), tools=[*TOOLS, *TOOLS]),
        "parameters that are no schema": _calls(call(), tools=_tool(parameters={"type": "strng"})),
        "a schema that refers to elsewhere": _calls(
            call(), tools=_tool(parameters={"$ref": "https://example.com/city.json"})
        ),
    },
    "Questions with answers": {
        "a column that is missing": Fault(line({"prompt": "Question?"}), PAIR),
        "a row of another form": Fault(GOOD, PAIR),
        "an empty answer": Fault(line({"prompt": "Question?", "completion": " "}), PAIR),
        "an answer that is a number": Fault(line({"prompt": "Question?", "completion": 7}), PAIR),
        "several answers": Fault(line({"prompt": "Question?", "completion": ["One.", "Two."]}), PAIR),
        "messages as a text": Fault(line({"prompt": json.dumps([USER]), "completion": "Answer."}), PAIR),
        "a history that is no pairs": Fault(
            line({"instruction": "Q", "output": "A", "history": [["q"]]}), line({"instruction": "q", "output": "a"})
        ),
    },
    "Documents and tokens": {
        "a special token in a document": _plain("text", DOCUMENT, {"text": "One.<|im_end|>Two."}),
        "tokens that are texts": _plain("tokens", TOKENS, {"input_ids": ["a"]}),
        "a token that the model does not have": _plain("tokens", TOKENS, {"input_ids": [1, 1_000_000]}),
        "fewer labels than tokens": _plain("tokens", TOKENS, {"input_ids": [1, 2], "labels": [1]}),
        "labels that are other tokens": _plain("tokens", TOKENS, {"input_ids": [1, 2], "labels": [1, 3]}),
        "no label that counts": _plain("tokens", TOKENS, {"input_ids": [1, 2], "labels": [-100, -100]}),
        "a mask with a hole": _plain("tokens", TOKENS, {"input_ids": [1, 2, 3], "attention_mask": [1, 0, 1]}),
        "a mask of another tool": _plain("tokens", TOKENS, {"input_ids": [1, 2], "completion_mask": [0, 1]}),
    },
    "What a chat template does not show": {
        "a system turn (Gemma)": Fault(
            line({"messages": [{"role": "system", "content": "Be brief."}, USER, ANSWER]}), family="gemma"
        ),
        "reasoning (Llama 3)": Fault(_with("reasoning_content", "Hm.").line, family="llama3"),
        "reasoning where the prompt closes the thought (Qwen3.5)": Fault(
            _with("reasoning_content", "Hm.").line, family="qwen3_5_nothink"
        ),
        "tools (Phi-3)": Fault(_calls(call()).line, family="phi3"),
        "several calls in a turn (Llama 3.1)": Fault(
            line(
                {
                    "messages": [
                        QUESTION,
                        answer(None, tool_calls=[call(), {**call({"city": "Rome"}), "id": "call00002"}]),
                        result(),
                        result(tool_call_id="call00002"),
                        ANSWER,
                    ],
                    "tools": TOOLS,
                }
            ),
            family="llama3_1",
        ),
        "the name of a speaker (Qwen3)": _turns({**USER, "name": "Ann"}, ANSWER),
    },
}
