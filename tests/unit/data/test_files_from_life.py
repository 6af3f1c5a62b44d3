"""Files as spreadsheets, other tools and other systems leave them."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pytest

from lora_trainer.data import prepared
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
}


@pytest.mark.parametrize("case", TOOL_FORMS)
def test_tools_from_life_are_learned(case: str, tmp_path: Path) -> None:
    made, offered = TOOL_FORMS[case]
    row = {"messages": [QUESTION, answer(None, tool_calls=[made]), result(), answer("Done.")], "tools": offered}

    _, (prepared_row,) = prepared_with(tmp_path, "qwen2_5", [row])

    arguments = made["function"].get("arguments") or {}
    wanted = json.dumps({"name": made["function"]["name"], "arguments": arguments})
    assert f"<tool_call>\n{wanted}\n</tool_call>" in published("qwen2_5").decode(prepared_row["input_ids"])
