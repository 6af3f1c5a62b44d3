"""Every bad file ends in words that name the place, what is wrong and what to do."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from lora_contract.exit_codes import ExitCode
from lora_trainer.data.reading.files import DataFile, classify
from lora_trainer.errors import TrainerError
from support.prepared_data import chat, lines, run

GOOD = chat("How are you?", "Fine.")
GOOD_LINE = lines([GOOD])


def _messages(*turns: Any) -> bytes:
    return GOOD_LINE + lines([{"messages": list(turns)}])


def _turn(role: Any, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


USER, ASSISTANT = _turn("user", "Question?"), _turn("assistant", "Answer.")


def _parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def _pairs(prompts: list[Any], completions: list[Any]) -> bytes:
    return _parquet(pa.table({"prompt": prompts, "completion": completions}))


def _truncated_gzip() -> bytes:
    noise = random.Random(1).randbytes(50_000).hex()
    return gzip.compress(lines([chat(noise, "Answer.")]))[:20_000]


@dataclass(frozen=True)
class Bad:
    """A file as it is stored, the words it must end in, and the place they must name."""

    name: str
    content: bytes | Callable[[], bytes]
    message: str
    param: str
    changes: dict[str, Any] = field(default_factory=dict)


def _deep() -> bytes:
    return GOOD_LINE + b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"


BAD: dict[str, Bad] = {
    "latin-1": Bad(
        "a.jsonl",
        GOOD_LINE + '{"prompt": "größe"}\n'.encode("latin-1"),
        "a.jsonl, line 2: is not UTF-8 (byte 0xf6 at position 15)",
        "a.jsonl:2",
    ),
    "utf-16": Bad("a.jsonl", GOOD_LINE.decode().encode("utf-16"), "line 1: is not UTF-8 (byte 0xff", "a.jsonl:1"),
    "half a line": Bad("a.jsonl", GOOD_LINE * 1 + b'{"messages": [', "a.jsonl, line 2 is cut off", "a.jsonl:2"),
    "half a line before others": Bad(
        "a.jsonl", GOOD_LINE + b'{"messages": [\n' + GOOD_LINE, "line 2: is not JSON: Expecting", "a.jsonl:2"
    ),
    "single quotes": Bad("a.jsonl", b"{'prompt': 'x'}\n", "line 1: is not JSON: Expecting property name", "a.jsonl:1"),
    "two objects in a line": Bad("a.jsonl", b'{"a": 1} {"a": 2}\n', "line 1: is not JSON: Extra data", "a.jsonl:1"),
    "an array in each line": Bad(
        "a.jsonl", b'[{"role": "user"}]\n[{"role": "user"}]\n', "line 1: is an array, and so is line 2", "a.jsonl:1"
    ),
    "a pretty-printed object in jsonl": Bad(
        "a.jsonl",
        b'{\n  "prompt": "x",\n  "completion": "y"\n}\n',
        "a.jsonl, line 1: begins an object that goes on in the next lines",
        "a.jsonl:1",
    ),
    "a pretty-printed object in json": Bad(
        "a.json",
        b'{"data": [\n  {"prompt": "x", "completion": "y"}\n]}\n',
        "a.json, line 1: begins an object that goes on in the next lines",
        "a.json:1",
        {"dataset__onBadRows": "Skip"},
    ),
    "NaN": Bad(
        "a.jsonl", GOOD_LINE + b'{"messages": [], "x": NaN}\n', "line 2: has NaN, which is not JSON", "a.jsonl:2"
    ),
    "Infinity": Bad("a.jsonl", b'{"x": -Infinity}\n', "line 1: has -Infinity, which is not JSON", "a.jsonl:1"),
    "a key twice": Bad(
        "a.jsonl",
        b'{"prompt": "x", "completion": "y", "prompt": "z"}\n',
        "line 1: names the key 'prompt' twice in one object",
        "a.jsonl:1",
    ),
    "a number for a row": Bad("a.jsonl", GOOD_LINE + b"42\n", "line 2: is a number, expected an object", "a.jsonl:2"),
    "a text for a row": Bad("a.jsonl", b'"hello"\n', "line 1: is a text, expected an object", "a.jsonl:1"),
    "null for a row": Bad("a.jsonl", b"null\n", "line 1: is null, expected an object", "a.jsonl:1"),
    "a list for a row": Bad("a.jsonl", GOOD_LINE + b"[1]\n", "line 2: is an array, expected an object", "a.jsonl:2"),
    "an empty object for a row": Bad("a.jsonl", b"{}\n", "line 1: is an empty object", "a.jsonl:1"),
    "nested deeply": Bad("a.jsonl", _deep, "line 2: is nested too deeply", "a.jsonl:2"),
    "a line beyond the cap": Bad(
        "a.jsonl", lambda: GOOD_LINE + lines([chat("x" * (1 << 20), "y")]), "line 2: is longer than 1 MiB", "a.jsonl:2"
    ),
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
        "these are preferences (as for DPO), which are not trained",
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
    "a page of a web server": Bad(
        "a.jsonl", b"<!DOCTYPE html><html>...", "a.jsonl holds HTML data, not text", "a.jsonl"
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
    "images beside a conversation": Bad(
        "a.jsonl",
        lines([chat("Q", "A"), {**chat("R", "A"), "images": ["a.png"]}]),
        "a.jsonl, line 2: has images in the column 'images'; only text can be trained on",
        "a.jsonl:2",
    ),
    "images in parquet": Bad(
        "a.parquet",
        lambda: _parquet(pa.table({"prompt": ["q"], "completion": ["a"], "image": [b"\x89PNG"]})),
        "a.parquet, row 1: has images in the column 'image'",
        "a.parquet:1",
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
    "half a surrogate pair": Bad(
        "a.jsonl",
        GOOD_LINE + b'{"messages": [{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "x"}]}\n',
        "line 2: has half of a surrogate pair",
        "a.jsonl:2",
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
    "an empty file": Bad("a.jsonl", b"", "the dataset has no rows", "spec.dataset.uri"),
    "blank lines only": Bad("a.jsonl", b"\n \n\n", "the dataset has no rows", "spec.dataset.uri"),
    "an empty array": Bad("a.json", b"[]", "the dataset has no rows", "spec.dataset.uri"),
    "an array that ends early": Bad(
        "a.json", b"[" + GOOD_LINE.strip() + b"\n", "a.json, line 2 is cut off: the array does not end", "a.json:2"
    ),
    "an array without commas": Bad(
        "a.json", b"[\n" + GOOD_LINE + GOOD_LINE + b"]", "line 3: is not JSON: expected ',' or ']'", "a.json:3"
    ),
    "an array with a broken element": Bad(
        "a.json",
        b"[\n" + GOOD_LINE + b',\n{"messages":\n oops}]',
        "a.json, element 2 (line 5): is not JSON: Expecting value",
        "a.json:5",
    ),
    "an array with NaN": Bad("a.json", b'[\n{"x": NaN}]', "a.json, element 1 (line 2): has NaN", "a.json:2"),
    "an array of numbers": Bad(
        "a.json", b"[\n1, 2]", "a.json, element 1 (line 2): is a number, expected an object", "a.json:2"
    ),
    "text behind an array": Bad(
        "a.json", b"[" + GOOD_LINE + b"]\n{}", "line 3: has something behind the end of the array", "a.json:3"
    ),
    "latin-1 in an array": Bad(
        "a.json",
        b"[\n" + GOOD_LINE + b',{"x": "\xf6 and more text behind it"}]',
        "a.json, line 3: is not UTF-8",
        "a.json:3",
    ),
    "a large element in an array": Bad(
        "a.json",
        lambda: b"[\n" + lines([chat("x" * (3 << 20), "y")]) + b"]",
        "a.json, element 1 (line 2): is longer than 1 MiB",
        "a.json:2",
    ),
    "a bad element in an array on one line": Bad(
        "a.json",
        lambda: b"[" + b",".join([GOOD_LINE.strip()] * 2) + b", 7, " + GOOD_LINE.strip() + b"]",
        "a.json, element 3 (line 1): is a number, expected an object",
        "a.json:1",
    ),
    "a broken element before much text": Bad(
        "a.json",
        lambda: b"[" + GOOD_LINE.strip() + b', {"messages": oops}, ' + GOOD_LINE.strip() * 30_000 + b"]",
        "a.json, element 2 (line 1): is not JSON: Expecting value",
        "a.json:1",
    ),
    "csv with too few fields": Bad(
        "a.csv", b"prompt,completion\nq,a\nonly\n", "a.csv, line 3: has 1 fields, the header has 2", "a.csv:3"
    ),
    "csv with commas unquoted": Bad("a.csv", b"prompt,completion\nq, and q,a\n", "line 2: has 3 fields", "a.csv:2"),
    "csv with an open quote": Bad(
        "a.csv", b'prompt,completion\nq,a\n"q,a\n', "a.csv, line 3: is cut off, or a quote that opens", "a.csv:3"
    ),
    "csv with a repeated column": Bad("a.csv", b"prompt,prompt\nq,a\n", "the header names 'prompt' twice", "a.csv:1"),
    "csv with a nameless column": Bad("a.csv", b"prompt,,completion\nq,,a\n", "has a column without a name", "a.csv:1"),
    "csv with semicolons": Bad(
        "a.csv", b"prompt;completion\nq;a\n", "columns are prompt;completion", "spec.dataset.columns"
    ),
    "csv in latin-1": Bad(
        "a.csv", "prompt,completion\ngröße,a\n".encode("latin-1"), "a.csv, line 2: is not UTF-8", "a.csv:2"
    ),
    "csv with a header alone": Bad("a.csv", b"prompt,completion\n", "the dataset has no rows", "spec.dataset.uri"),
    "csv with an empty field": Bad(
        "a.csv", b'prompt,completion\nq,a\n"two\nlines",\n', "a.csv, line 3: column", "a.csv:3"
    ),
    "not parquet": Bad("a.parquet", GOOD_LINE, "a.parquet holds plain text, not parquet data", "a.parquet"),
    "parquet cut off": Bad("a.parquet", lambda: _pairs(["q"], ["a"])[:-20], "a.parquet is cut off", "a.parquet"),
    "jsonl that is gz": Bad("a.jsonl", gzip.compress(GOOD_LINE), "a.jsonl holds gzip data, not text", "a.jsonl"),
    "csv that is zst": Bad("a.csv", zstandard.compress(GOOD_LINE), "a.csv holds zstd data, not text", "a.csv"),
    "jsonl that is a workbook": Bad("a.csv", b"PK\x03\x04" + bytes(40), "a.csv holds zip data, not text", "a.csv"),
    "gz twice": Bad("a.jsonl.gz", gzip.compress(gzip.compress(GOOD_LINE)), "is compressed twice", "a.jsonl.gz"),
    "json that is parquet": Bad("a.json", lambda: _pairs(["q"], ["a"]), "a.json holds parquet data", "a.json"),
    "parquet with null": Bad(
        "a.parquet", lambda: _pairs(["q", "r"], ["a", None]), "row 2: column 'completion' is null", "a.parquet:2"
    ),
    "parquet with numbers": Bad(
        "a.parquet", lambda: _pairs([1], [2]), "row 1: column 'prompt' is a number, expected a text", "a.parquet:1"
    ),
    "parquet without rows": Bad(
        "a.parquet",
        lambda: _parquet(pa.table({"prompt": pa.array([], pa.string())})),
        "has no rows",
        "spec.dataset.uri",
    ),
    "parquet with many columns": Bad(
        "a.parquet", lambda: _parquet(pa.table({f"c{i}": ["x"] for i in range(1001)})), "has 1001 columns", "a.parquet"
    ),
    "parquet bomb": Bad(
        "a.parquet",
        lambda: _parquet(pa.table({"prompt": ["x" * 1000] * 100_000}), use_dictionary=False, compression="zstd"),
        "grows beyond 64 MiB when decompressed",
        "a.parquet",
    ),
    "parquet of equal rows without end": Bad(
        "a.parquet",
        lambda: _pairs(pa.nulls(5_000_000, pa.string()), pa.nulls(5_000_000, pa.string())),
        "has 5000000 rows in",
        "a.parquet",
    ),
    "parquet with a row beyond the cap": Bad(
        "a.parquet", lambda: _pairs(["q", "x" * 1_100_000], ["a", "b"]), "row 2: is longer than 1 MiB", "a.parquet:2"
    ),
    "a number of 5000 digits": Bad(
        "a.jsonl", b'{"x": ' + b"9" * 5000 + b"}\n", "line 1: has a number of 5000 digits", "a.jsonl:1"
    ),
    "more columns than are read": Bad(
        "a.jsonl",
        lambda: lines([{f"c{n}": "x" for n in range(1001)}]),
        "line 1: has 1001 columns, at most 1000",
        "a.jsonl:1",
    ),
    "csv with more columns than are read": Bad(
        "a.csv", lambda: ",".join(f"c{n}" for n in range(120_000)).encode(), "header has 120000 columns", "a.csv:1"
    ),
    "parquet without text": Bad(
        "a.parquet", lambda: _parquet(pa.table({"prompt": [b"q"]})), "has no column that holds text", "a.parquet"
    ),
    "csv with half a million columns": Bad(
        "a.csv", b"a," * 500_000 + b"b\n", "line 1: the header names 'a' twice", "a.csv:1"
    ),
    "gz that is plain": Bad("a.jsonl.gz", GOOD_LINE, "a.jsonl.gz holds plain text, not gzip data", "a.jsonl.gz"),
    "gz cut off": Bad("a.jsonl.gz", _truncated_gzip, "a.jsonl.gz is cut off", "a.jsonl.gz"),
    "zst that is gz": Bad(
        "a.jsonl.zst", gzip.compress(GOOD_LINE), "a.jsonl.zst holds gzip data, not zstd", "a.jsonl.zst"
    ),
    "gz bomb in one line": Bad(
        "a.jsonl.gz", lambda: gzip.compress(b" " * (70 << 20), 1), "grows beyond 64 MiB when decompressed", "a.jsonl.gz"
    ),
    "zst bomb": Bad(
        "a.csv.zst",
        lambda: zstandard.compress(b"prompt,completion\n" + (b"x" * 500_000 + b",a\n") * 140),
        "grows beyond 64 MiB when decompressed",
        "a.csv.zst",
    ),
    "empty lines without end": Bad(
        "a.csv.gz",
        lambda: gzip.compress(b"prompt,completion\n" + b"\n" * (9 << 20)),
        "more than 10000 empty",
        "a.csv.gz",
    ),
    "maxLength before every answer": Bad(
        "a.jsonl",
        lines([chat("a long question " * 40, "Answer.")]),
        "training.maxLength 16 cuts every row before its answer",
        "spec.training.maxLength",
        {"training__maxLength": 16},
    ),
    "everything held out": Bad(
        "a.jsonl",
        lines([chat("3", "Answer.")]),
        "no training rows are left: 1 rows read, 0 bad, 0 repeated, 0 without an answer after cutting, 1 held out",
        "spec.dataset.split",
        {"dataset__split": {"validation": 0.5, "test": 0.49, "seed": 1}},
    ),
    "only bad rows": Bad(
        "a.jsonl",
        b"{oops}\n" * 5,
        "all 5 rows are bad; the first: a.jsonl, line 1: is not JSON",
        "spec.dataset.uri",
        {"dataset__onBadRows": "Skip"},
    ),
    "more bad rows than may be skipped": Bad(
        "a.jsonl",
        GOOD_LINE + b"{\n" * 3,
        "more than 2 bad rows (dataset.maxBadRows); the first: a.jsonl, line 2: is not JSON",
        "spec.dataset.maxBadRows",
        {"dataset__onBadRows": "Skip", "dataset__maxBadRows": 2},
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_ends_in_words_that_name_the_place(case: str, tmp_path: Path) -> None:
    bad = BAD[case]
    kind, compression = classify(bad.name)
    path = tmp_path / bad.name
    path.write_bytes(bad.content() if callable(bad.content) else bad.content)

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [DataFile(bad.name, path, kind, compression)], **bad.changes)

    assert bad.message in raised.value.message
    assert raised.value.param == bad.param
    assert raised.value.exit_code is ExitCode.BAD_DATA
    assert raised.value.hint


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.txt", "a.py", "a.pkl", "jsonl", "a.jsonl.bz2", "a.xlsx"])
def test_a_file_that_is_no_data_file_by_its_name_is_refused(name: str) -> None:
    with pytest.raises(TrainerError, match="is not a data file by its name"):
        classify(name)


def test_a_name_without_an_ending_is_to_get_one() -> None:
    with pytest.raises(TrainerError) as raised:
        classify("data.v2/rows")
    assert str(raised.value.hint).startswith("give the name its ending, such as .jsonl")


@pytest.mark.parametrize(("before", "advised"), [(b"", False), (GOOD_LINE, True)])
def test_leaving_bad_rows_out_is_advised_only_where_a_row_is_good(before: bytes, advised: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(before + b"{oops}\n")

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [DataFile("a.jsonl", path, "jsonl", "")])

    assert ("Skip" in str(raised.value.hint)) is advised


def test_another_encoding_is_not_to_be_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD_LINE + '{"prompt": "größe"}\n'.encode("latin-1"))

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [DataFile(path.name, path, *classify(path.name))])

    assert "UTF-8" in str(raised.value.hint)
    assert "Skip" not in str(raised.value.hint)


def test_the_table_is_long_enough() -> None:
    assert len(BAD) >= 40
