"""Each format of rows reads as the conversations it means; what was detected is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lora_trainer.data.conversations import formats, turns
from support.chat_models import tokenizer
from support.prepared_data import chat, data_file, lines, run, spec


def _texts(rows: list[dict[str, Any]]) -> list[str]:
    return [tokenizer("chatml").decode(row["input_ids"]) for row in rows]


SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "messages": (chat("Q", "A"), {}, "messages (columns messages)", "Q"),
    "messages under another name": (
        {"id": 1, "chat": chat("Q", "A")["messages"]},
        {"dataset__columns": {"messages": "chat"}},
        "messages (columns chat)",
        "Q",
    ),
    "instruction": ({"instruction": "Q", "output": "A"}, {}, "instruction (columns instruction, output)", "Q"),
    "instruction with response": (
        {"instruction": "Q", "context": "C", "response": "A"},
        {},
        "instruction (columns instruction, response, context)",
        "Q\n\nC",
    ),
    "instruction with input": (
        {"instruction": "Q", "input": "more", "output": "A"},
        {},
        "instruction (columns instruction, output, input)",
        "Q\n\nmore",
    ),
    "instruction with empty input": (
        {"instruction": "Q", "input": "", "output": "A"},
        {},
        "instruction (columns instruction, output, input)",
        "Q",
    ),
    "own columns": (
        {"question": "Q", "answer": "A"},
        {"dataset__columns": {"prompt": "question", "completion": "answer"}},
        "prompt-completion (columns question, answer)",
        "Q",
    ),
    "the format settles what fits twice": (
        {"messages": chat("no", "no")["messages"], "prompt": "Q", "completion": "A"},
        {"dataset__format": "prompt-completion"},
        "prompt-completion (columns prompt, completion)",
        "Q",
    ),
}


@pytest.mark.parametrize("case", SHAPES)
def test_each_shape_gives_a_conversation_and_is_reported(case: str, tmp_path: Path) -> None:
    row, changes, shape, user = SHAPES[case]

    result = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines([row]))], **changes)

    assert result.profile.format == shape
    text = _texts(result.rows())[0]
    assert f"<|im_start|>user\n{user}<|im_end|>\n" in text
    assert "<|im_start|>assistant\nA<|im_end|>" in text


def _sharegpt(*turns: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"id": "1", "conversations": [{"from": speaker, "value": text} for speaker, text in turns], **more}


#: Rows in forms of other tools, the same as messages, and what the plan calls them.
SAME_AS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "ShareGPT": (
        _sharegpt(("system", "S"), ("human", "Q"), ("gpt", "A"), ("human", "R"), ("gpt", "B")),
        chat("Q", "A", "R", "B", system="S"),
        "messages (columns conversations; ShareGPT: from and value are read as role and content)",
    ),
    "ShareGPT with the names of roles": (
        _sharegpt(("user", "Q"), ("assistant", "A")),
        chat("Q", "A"),
        "messages (columns conversations; ShareGPT: from and value are read as role and content)",
    ),
    "ShareGPT with a column for the system": (
        _sharegpt(("human", "Q"), ("gpt", "A"), system="S"),
        chat("Q", "A", system="S"),
        "messages (columns conversations, system; ShareGPT: from and value are read as role and content)",
    ),
    "conversations of messages": (
        {"conversations": chat("Q", "A")["messages"]},
        chat("Q", "A"),
        "messages (columns conversations)",
    ),
    "an instruction with everything": (
        {"instruction": "R", "input": "more", "output": "B", "system": "S", "history": [["Q", "A"]]},
        chat("Q", "A", "R\n\nmore", "B", system="S"),
        "instruction (columns instruction, output, input, system, history)",
    ),
    "an instruction with nothing but itself": (
        {"instruction": "Q", "input": None, "output": "A", "system": "", "history": []},
        chat("Q", "A"),
        "instruction (columns instruction, output, input, system, history)",
    ),
    "a system text in parts": (
        {"messages": chat("Q", "A")["messages"], "system": [{"text": "S"}]},
        chat("Q", "A", system="S"),
        "messages (columns messages, system)",
    ),
    "content in parts": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Q"}, {"type": "text", "text": "R", "x": None}]},
                {"role": "assistant", "content": [{"type": "output_text", "text": "A", "annotations": []}]},
            ]
        },
        chat("Q\nR", "A"),
        "messages (columns messages)",
    ),
}


def test_the_input_of_an_instruction_is_read_whatever_the_answer_is_called(tmp_path: Path) -> None:
    file = data_file(tmp_path, "a.jsonl", lines([{"instruction": "Q", "input": "more", "answer": "A"}]))

    result = run(tmp_path, [file], dataset__columns={"prompt": "instruction", "completion": "answer"})

    assert "user\nQ\n\nmore<|im_end|>" in _texts(result.rows())[0]
    assert result.profile.ignored_columns == []


def test_a_column_of_images_that_means_nothing_may_be_named(tmp_path: Path) -> None:
    file = data_file(tmp_path, "a.jsonl", lines([{**chat("Q", "A"), "images": ["a.png"]}]))

    assert run(tmp_path, [file], dataset__ignoreKeys=["images"]).profile.rows["train"] == 1


def test_each_file_is_read_by_its_own_columns(tmp_path: Path) -> None:
    files = [
        data_file(tmp_path, "a.jsonl", lines([chat("Q", "A"), chat("R", "A")])),
        data_file(tmp_path, "b.csv", b"prompt,completion\nS,A\n"),
    ]

    profile = run(tmp_path, files).profile

    assert profile.rows["train"] == 3
    assert profile.format == "messages (columns messages); prompt-completion (columns prompt, completion)"


def test_answers_inside_a_prompt_of_messages_are_not_learned(tmp_path: Path) -> None:
    turns = chat("Q", "A", "R", "B")["messages"]
    file = data_file(tmp_path, "a.jsonl", lines([{"prompt": turns[:3], "completion": turns[3:]}]))

    row = run(tmp_path, [file]).rows()[0]

    learned = [token for token, target in zip(row["input_ids"], row["targets"], strict=True) if target]
    assert tokenizer("chatml").decode(learned) == "B<|im_end|>"
    assert "A<|im_end|>" in _texts([row])[0]


def test_calls_of_tools_in_sharegpt_are_those_of_messages() -> None:
    call = {"name": "search", "arguments": {"q": "x"}}
    row = _sharegpt(("human", "Q"), ("function_call", json.dumps(call)), ("observation", "found"), ("gpt", "A"))

    found = turns.read(row, formats.detect(row, spec().dataset))

    assert found == [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]},
        {"role": "tool", "content": "found"},
        {"role": "assistant", "content": "A"},
    ]


@pytest.mark.parametrize("case", SAME_AS)
def test_rows_in_forms_of_other_tools_read_as_the_messages_they_mean(case: str, tmp_path: Path) -> None:
    row, messages, shape = SAME_AS[case]
    expected = run(tmp_path, [data_file(tmp_path, "expected.jsonl", lines([messages]))]).rows()

    result = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines([row]))])

    assert result.rows() == expected
    assert result.profile.format == shape
