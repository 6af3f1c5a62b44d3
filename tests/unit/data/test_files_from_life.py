"""Files as spreadsheets, other tools and other systems leave them."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pytest

from lora_trainer.data import prepared
from lora_trainer.errors import TrainerError
from support.conversations import QUESTION, answer, call, prepared_with, result
from support.prepared_data import chat, data_file, lines, run, template
from support.published_templates import TOOLS
from support.published_templates import tokenizer as published

#: Files, with the questions of the rows that are read and the columns that are not.
READ: dict[str, tuple[str, bytes, list[str], list[str]]] = {
    "the index that pandas writes": (
        "a.csv",
        b",prompt,completion\n0,One,A\n1,Two,A\n",
        ["One", "Two"],
        ["Unnamed: 0"],
    ),
    "empty columns of a spreadsheet": (
        "a.csv",
        b"prompt,completion,,\r\nOne,A,,\r\n",
        ["One"],
        ["Unnamed: 2", "Unnamed: 3"],
    ),
    "empty rows of a spreadsheet": ("a.csv", b"prompt,completion\r\nOne,A\r\n,\r\n,\r\nTwo,A\r\n", ["One", "Two"], []),
    "a byte order mark and line ends of Windows": (
        "a.csv",
        codecs.BOM_UTF8 + b'prompt,completion\r\n"One\r\nmore",A\r\n',
        ["One\r\nmore"],
        [],
    ),
    "files that were put together with their byte order marks": (
        "a.jsonl",
        b"".join(codecs.BOM_UTF8 + lines([chat(text, "A")]) for text in ("One", "Two")),
        ["One", "Two"],
        [],
    ),
    "line ends of Windows": (
        "a.jsonl",
        lines([chat("One", "A"), chat("Two", "A")]).replace(b"\n", b"\r\n"),
        ["One", "Two"],
        [],
    ),
    "separators of lines within a text": ("a.jsonl", lines([chat("One\u2028\x85", "A")]), ["One\u2028\x85"], []),
    "fields of a fine-tuning service": (
        "a.jsonl",
        lines([{**chat("One", "A"), "metadata": {"x": "1"}, "parallel_tool_calls": False}]),
        ["One"],
        ["metadata", "parallel_tool_calls"],
    ),
    "an instruction with its context": (
        "a.jsonl",
        lines([{"instruction": "One", "context": "more", "response": "A", "category": "x"}]),
        ["One\n\nmore"],
        ["category"],
    ),
}


@pytest.mark.parametrize("case", READ)
def test_a_file_from_life_is_read(case: str, tmp_path: Path) -> None:
    name, content, questions, unused = READ[case]

    result = run(tmp_path, [data_file(tmp_path, name, content)])

    texts = [template().tokenizer.decode(row["input_ids"]) for row in result.rows(prepared.TRAIN)]
    assert texts == [f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n" for text in questions]
    assert result.profile.ignored_columns == unused


def test_a_file_that_is_cut_within_a_row_of_empty_fields_is_told_as_cut(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="line 3 is cut off"):
        run(tmp_path, [data_file(tmp_path, "a.csv", b"prompt,completion,more\nOne,A,x\n,")])


#: A call, and the tools that it is made of.
TOOL_FORMS: dict[str, tuple[dict[str, Any], Any]] = {
    "tools as a list of texts": (call(), [json.dumps(tool) for tool in TOOLS]),
    "arguments that are null": (
        {"id": "call00001", "type": "function", "function": {"name": "f", "arguments": None}},
        [{"type": "function", "function": {"name": "f"}}],
    ),
    "no arguments": ({"id": "call00001", "function": {"name": "f"}}, [{"name": "f"}]),
    "tools of the Responses API": (call(), [{"type": "function", **tool["function"]} for tool in TOOLS]),
}


@pytest.mark.parametrize("case", TOOL_FORMS)
def test_tools_from_life_are_learned(case: str, tmp_path: Path) -> None:
    made, offered = TOOL_FORMS[case]
    row = {"messages": [QUESTION, answer(None, tool_calls=[made]), result(), answer("Done.")], "tools": offered}

    _, (prepared_row,) = prepared_with(tmp_path, "qwen2_5", [row])

    text = published("qwen2_5").decode(prepared_row["input_ids"])
    assert '"function": {"name": ' in text
    arguments = made["function"].get("arguments") or {}
    wanted = json.dumps({"name": made["function"]["name"], "arguments": arguments})
    assert f"<tool_call>\n{wanted}\n</tool_call>" in text


def test_calls_in_a_table_of_texts_are_learned(tmp_path: Path) -> None:
    row = {"messages": [QUESTION, answer("", tool_calls=json.dumps([call()]))], "tools": json.dumps(TOOLS)}

    _, (prepared_row,) = prepared_with(tmp_path, "qwen2_5", [row])

    assert "<tool_call>" in published("qwen2_5").decode(prepared_row["input_ids"])


#: Answers that call a tool in words of their own, as the data of other projects have them.
CALLS_AS_TEXT = {
    "xLAM": '[{"name": "get_weather", "arguments": {"city": "Oslo"}}]',
    "Llama 3": '{"name": "get_weather", "parameters": {"city": "Oslo"}}',
    "Hermes, in JSON": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
    "Hermes, in Python": "I look.\n<tool_call>\n{'arguments': {'city': 'Oslo'}, 'name': 'get_weather'}\n</tool_call>",
    "Glaive": '<functioncall> {"name": "get_weather", "arguments": \'{"city": "Oslo"}\'} <|endoftext|>',
    "Llama 3, by its mark": '<function=get_weather>{"city": "Oslo"}</function>',
    "ToolACE": '[get_weather(city="Oslo")]',
}


@pytest.mark.parametrize("case", CALLS_AS_TEXT)
def test_a_call_that_is_a_text_is_refused_beside_tools_and_learned_without(case: str, tmp_path: Path) -> None:
    row = {"messages": [QUESTION, answer(CALLS_AS_TEXT[case])], "tools": TOOLS}

    with pytest.raises(TrainerError, match=r"line 1: turn 2 .* a call of the tool 'get_weather' as text") as error:
        prepared_with(tmp_path / "refused", "qwen2_5", [row])

    assert "dataset.ignoreKeys" in str(error.value.hint)
    profile, _ = prepared_with(tmp_path / "learned", "qwen2_5", [row], dataset__ignoreKeys=["tools"])
    assert profile.rows["train"] == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Oslo", "arguments": "for and against"}',
        "Nobody needs get_weather(city) for that.",
        "[1, 2, 3]",
        "<tool_call> is how a call begins.",
    ],
)
def test_a_text_that_calls_no_tool_of_the_row_is_learned(text: str, tmp_path: Path) -> None:
    row = {"messages": [QUESTION, answer(text)], "tools": TOOLS}

    _, (prepared_row,) = prepared_with(tmp_path, "qwen2_5", [row])

    assert text in published("qwen2_5").decode(prepared_row["input_ids"])


#: Columns with messages as a spreadsheet and the `to_csv` of pandas write them.
MESSAGES_AS_TEXT = {
    "JSON": (json.dumps([QUESTION]), {}),
    "Python": (str([QUESTION]), {}),
    "ShareGPT": ('[ {"from": "human", "value": "Question?"}]', {}),
    "an answer": (json.dumps([answer("Yes.")]), {"method__dpo": {}}),
}


@pytest.mark.parametrize("case", MESSAGES_AS_TEXT)
def test_messages_as_a_text_are_refused_instead_of_being_learned_letter_by_letter(case: str, tmp_path: Path) -> None:
    text, changes = MESSAGES_AS_TEXT[case]
    row = {"prompt": "Q", "chosen": text, "rejected": "No."} if changes else {"prompt": text, "completion": "Yes."}

    with pytest.raises(TrainerError, match=r"line 1: column '(prompt|chosen)' holds messages as a text"):
        prepared_with(tmp_path, "qwen2_5", [row], **changes)
