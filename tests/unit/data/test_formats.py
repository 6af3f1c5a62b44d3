"""Every format and file type reads to the same rows; what was detected is reported."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from lora_trainer.data.conversations import formats
from lora_trainer.errors import TrainerError
from support.chat_models import tokenizer
from support.prepared_data import chat, data_file, lines, run, spec

PAIRS = [{"prompt": f"Question {n}, with comma?", "completion": f'A "quoted"\nanswer {n}.'} for n in range(5)]


def _texts(rows: list[dict[str, Any]]) -> list[str]:
    return [tokenizer("chatml").decode(row["input_ids"]) for row in rows]


def _csv(rows: list[dict[str, str]]) -> bytes:
    quoted = [",".join('"' + text.replace('"', '""') + '"' for text in row.values()) for row in rows]
    return "\r\n".join([",".join(rows[0]), *quoted, ""]).encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


FILES: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "a.jsonl": lines,
    "a.ndjson": lambda rows: b"\xef\xbb\xbf" + lines(rows).replace(b"\n", b"\r\n") + b"\n\n",
    "a.json": lambda rows: json.dumps(rows, indent=2).encode(),
    "a.csv": _csv,
    "a.parquet": _parquet,
    "a.jsonl.gz": lines,
    "a.csv.gz": _csv,
    "a.jsonl.zst": lambda rows: zstandard.compress(lines(rows)),
    "a.json.zstd": lambda rows: zstandard.compress(json.dumps(rows).encode()),
    "a.parquet.gz": _parquet,
    "lines-in.json": lines,
    "array-in.jsonl": lambda rows: json.dumps(rows).encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_each_file_type_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    expected = run(tmp_path, [data_file(tmp_path, "expected.jsonl", lines(PAIRS))]).rows()

    result = run(tmp_path, [data_file(tmp_path, name, FILES[name](PAIRS))])

    assert result.rows() == expected
    assert result.profile.rows_read == {name: 5}
    assert result.profile.format == "prompt-completion (columns prompt, completion)"


def test_gz_members_that_follow_each_other_are_read_to_the_end(tmp_path: Path) -> None:
    file = data_file(tmp_path, "a.jsonl.gz", b"")
    file.path.write_bytes(b"".join(gzip.compress(lines([pair])) for pair in PAIRS))

    assert run(tmp_path, [file]).profile.rows["train"] == 5


def test_zst_frames_that_follow_each_other_are_read_to_the_end(tmp_path: Path) -> None:
    content = b"".join(zstandard.compress(lines([pair])) for pair in PAIRS)

    assert run(tmp_path, [data_file(tmp_path, "a.jsonl.zst", content)]).profile.rows["train"] == 5


def test_a_json_array_larger_than_the_buffer_is_read_whole(tmp_path: Path) -> None:
    rows = [chat(f"{n} " + "größe 東京 🚑 " * 500, f"Answer {n}.") for n in range(60)]
    content = json.dumps(rows, ensure_ascii=False).encode()
    assert len(content) > 4 * (1 << 16)

    result = run(tmp_path, [data_file(tmp_path, "a.json", content)], training__maxLength=30_000)

    assert result.profile.rows["train"] == 60
    assert "größe 東京 🚑 größe" in _texts(result.rows())[59]


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
        {"dataset__columns": {"input": "context"}},
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


def test_a_header_may_begin_as_the_bytes_of_another_format_do(tmp_path: Path) -> None:
    for name in ("PARENT", "PAR1", "ORCID", "BZh"):
        file = data_file(tmp_path, "a.csv", f"{name},prompt,completion\nx,q,a\n".encode())

        assert run(tmp_path, [file]).profile.rows["train"] == 1


def test_columns_of_parquet_that_hold_no_text_are_told_too(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["q"], "completion": ["a"], "embedding": [b"\x01"], "note": ["x"]}), sink)

    profile = run(tmp_path, [data_file(tmp_path, "a.parquet", sink.getvalue())]).profile

    assert sorted(profile.ignored_columns) == ["embedding", "note"]


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

    turns = formats.turns(row, formats.detect(row, spec().dataset))

    assert turns == [
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


def test_messages_in_a_csv_column_are_read_as_json(tmp_path: Path) -> None:
    content = _csv([{"id": "1", "messages": json.dumps(chat("Q", "A")["messages"])}])

    result = run(tmp_path, [data_file(tmp_path, "a.csv", content)])

    assert result.profile.rows["train"] == 1
    assert result.profile.ignored_columns == ["id"]


def test_the_system_prompt_is_added_to_rows_that_have_none(tmp_path: Path) -> None:
    rows = [chat("Q", "A"), chat("Q", "A", system="Own words.")]

    result = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))], dataset__systemPrompt="You are a nurse.")

    first, second = _texts(result.rows())
    assert first.startswith("<|im_start|>system\nYou are a nurse.<|im_end|>")
    assert second.startswith("<|im_start|>system\nOwn words.<|im_end|>")
    assert "nurse" not in second


def test_bad_rows_are_left_out_and_counted_when_the_spec_says_so(tmp_path: Path) -> None:
    content = lines([chat("Q", "A")]) + b"{oops\n" + lines([chat("", "A"), chat("R", "A")])

    result = run(tmp_path, [data_file(tmp_path, "a.jsonl", content)], dataset__onBadRows="Skip")

    assert result.profile.rows["train"] == 2
    assert result.profile.bad_rows == 2
    assert [text.split(":")[0] for text in result.profile.bad_row_examples] == ["a.jsonl, line 2", "a.jsonl, line 3"]


def test_a_system_prompt_that_the_template_would_drop_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        TrainerError, match=r"dataset\.systemPrompt is set, but the chat template of example/mistral drops"
    ):
        run(
            tmp_path,
            [data_file(tmp_path, "a.jsonl", lines([chat("Q", "A")]))],
            family="mistral",
            dataset__systemPrompt="You are a nurse.",
        )


@pytest.mark.parametrize("family", ["gemma", "mistral"])
def test_a_system_turn_that_the_template_would_drop_is_refused(family: str, tmp_path: Path) -> None:
    file = data_file(tmp_path, "a.jsonl", lines([chat("Q", "A", system="S")]))

    with pytest.raises(
        TrainerError, match=r"line 1: has a system turn, but the chat template of example/.* drops"
    ) as raised:
        run(tmp_path, [file], family=family)

    assert raised.value.hint == "move its text into the first user turn"
