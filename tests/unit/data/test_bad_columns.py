"""Rows whose columns fit no format, or hold what no format has, end in words that name the place and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from lora_trainer.errors import TrainerError
from support.bad_files import Bad, assert_refused, parquet
from support.prepared_data import chat, data_file, lines, run

BAD: dict[str, Bad] = {
    "wrong columns": Bad(
        "a.jsonl",
        lines([{"question": "x", "answer": "y"}]),
        "columns are question, answer; expected messages (or conversations), or prompt and completion, or instruction"
        " and output (with input where there is one)",
        "spec.dataset.columns",
    ),
    "a turn in each row": Bad(
        "a.jsonl", lines([{"role": "user", "content": "x"}]), "a row seems to be one turn", "spec.dataset.columns"
    ),
    "preferences": Bad(
        "a.jsonl",
        lines([{"question": "x", "chosen": "y", "rejected": "z"}]),
        "these are preferences",
        "spec.dataset.columns",
    ),
    "all rows in one object": Bad(
        "a.json",
        lines([{"data": [{"prompt": "x", "completion": "y"}]}]),
        "a.json: columns are data; expected",
        "spec.dataset.columns",
    ),
    "all rows in one object with a version": Bad(
        "a.json",
        lines([{"version": "1", "data": [{"question": "x", "answers": "z", "answer": "y"}]}]),
        "rows seem to be in the list data",
        "spec.dataset.columns",
    ),
    "all rows of two splits in one object": Bad(
        "a.json",
        lines([{"train": [{"prompt": "x", "completion": "y"}], "test": [{"prompt": "q", "completion": "y"}]}]),
        "rows seem to be in the list train",
        "spec.dataset.columns",
    ),
    "wrong columns for the format": Bad(
        "a.jsonl",
        lines([{"prompt": "x", "completion": "y"}]),
        "expected instruction and completion for format instruction",
        "spec.dataset.columns",
        {"dataset__format": "instruction"},
    ),
    "columns named that are not there": Bad(
        "a.jsonl",
        lines([{"question": "x", "answer": "y"}]),
        "dataset.columns.prompt is 'frage', but the columns are question, answer",
        "spec.dataset.columns.prompt",
        {"dataset__columns": {"prompt": "frage", "completion": "answer"}},
    ),
    "columns that fit two formats": Bad(
        "a.jsonl",
        lines([{"messages": [], "prompt": "x", "completion": "y"}]),
        "they fit messages and prompt-completion",
        "spec.dataset.format",
    ),
    "a row without a column": Bad(
        "a.jsonl",
        lines([{"prompt": "x", "completion": "y"}, {"prompt": "x"}]),
        "line 2: has no column 'completion'; its columns are prompt",
        "a.jsonl:2",
    ),
    "a number for a text": Bad(
        "a.jsonl",
        lines([{"prompt": "x", "completion": "y"}, {"prompt": "x", "completion": 7}]),
        "line 2: column 'completion' is a number, expected a text",
        "a.jsonl:2",
    ),
    "all rows by column": Bad(
        "a.json",
        lines([{"prompt": ["x", "y"], "completion": ["a", "b"]}]),
        "line 1: column 'prompt' is a list that holds a text, expected a text or a list of messages",
        "a.json:1",
    ),
    "images beside a conversation": Bad(
        "a.jsonl",
        lines([chat("Q", "A"), {**chat("R", "A"), "images": ["a.png"]}]),
        "a.jsonl, line 2: has images in the column 'images'; only text can be trained on",
        "a.jsonl:2",
    ),
    "images in parquet": Bad(
        "a.parquet",
        lambda: parquet(pa.table({"prompt": ["q"], "completion": ["a"], "image": [b"\x89PNG"]})),
        "a.parquet, row 1: has images in the column 'image'",
        "a.parquet:1",
    ),
    "more columns than are read": Bad(
        "a.jsonl",
        lambda: lines([{f"c{n}": "x" for n in range(1001)}]),
        "line 1: has 1,001 columns, at most 1000",
        "a.jsonl:1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_columns_that_fit_no_format_are_refused(case: str, tmp_path: Path) -> None:
    assert_refused(BAD[case], tmp_path)


TURNS = chat("Q", "A")["messages"]
#: Files whose columns fit no format, with the advice.
ADVICE: dict[str, tuple[str, bytes, str]] = {
    "names in capitals": (
        "a.csv",
        b"Question,Answer\nQ,A\n",
        "set dataset.columns: {prompt: Question, completion: Answer}",
    ),
    "a space before a name": (
        "a.csv",
        b"prompt, completion\nQ,A\n",
        "set dataset.columns: {prompt: prompt, completion: ' completion'}",
    ),
    "an instruction whose answer has another name": (
        "a.jsonl",
        lines([{"instruction": "Q", "input": "more", "answer": "A"}]),
        "set dataset.columns: {prompt: instruction, completion: answer}",
    ),
    "a text to sum up": (
        "a.jsonl",
        lines([{"dialogue": "Q", "summary": "A"}]),
        "set dataset.columns: {prompt: dialogue, completion: summary}",
    ),
    "turns under another name": (
        "a.jsonl",
        lines([{"dialogue": TURNS, "id": "1"}]),
        "set dataset.columns: {messages: dialogue}",
    ),
    "turns that ask, with the answer beside them": (
        "a.jsonl",
        lines([{"input": TURNS[:1], "output": "A"}]),
        "set dataset.columns: {prompt: input, completion: output}",
    ),
    "requests as a service keeps them": (
        "a.jsonl",
        lines([{"custom_id": "1", "body": {"model": "m", "messages": TURNS}}]),
        "write it as the row: jq -c '.body'",
    ),
    "a request without its answer": (
        "a.jsonl",
        lines([{"request": {"messages": TURNS[:1]}, "response": {}}]),
        "jq -c '.request', and add the answer to its messages",
    ),
    "contents of Gemini": (
        "a.jsonl",
        lines([{"contents": [{"role": "user", "parts": [{"text": "Q"}]}]}]),
        "write messages: turns with role (user, assistant) and content",
    ),
    "one conversation over many lines": (
        "a.jsonl",
        json.dumps({"messages": TURNS}, indent=1).encode(),
        "write one row a line, for example with jq -c '.'",
    ),
    "columns of structures": (
        "a.parquet",
        parquet(pa.table({"messages": [{"role": ["user", "assistant"], "content": ["Q", "A"]}]})),
        "turns as a list with role and content",
    ),
}


@pytest.mark.parametrize("case", ADVICE)
def test_columns_that_fit_no_format_are_refused_with_what_to_set(case: str, tmp_path: Path) -> None:
    name, content, advice = ADVICE[case]

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [data_file(tmp_path, name, content)])

    assert advice in str(raised.value.hint)
