"""Rows of one file differ in their columns and keys; what each of them says is trained or refused, never dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lora_trainer.data import pipeline
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.data.reading.files import DataFile
from lora_trainer.errors import TrainerError
from support.chat_models import tokenizer
from support.prepared_data import Result, chat, data_file, lines, run, spec
from support.published_templates import template

FIRST: dict[str, Any] = {"instruction": "Sum up.", "output": "Short."}
QUESTION, ANSWER = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}


def _run(folder: Path, *rows: Any, **changes: Any) -> Result:
    return run(folder, [data_file(folder, "a.jsonl", lines(rows))], **changes)


def _texts(result: Result) -> list[str]:
    return [tokenizer("chatml").decode(row["input_ids"]) for row in result.rows()]


def _learned(result: Result) -> str:
    (row,) = result.rows()
    return tokenizer("chatml").decode([t for t, on in zip(row["input_ids"], row["targets"], strict=True) if on])


def _refused(folder: Path, *rows: Any, **changes: Any) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        _run(folder, *rows, **changes)
    return raised.value


LATER: dict[str, tuple[Any, Any]] = {
    "input": (FIRST, {**FIRST, "input": "WORDS"}),
    "system beside an instruction": (FIRST, {**FIRST, "system": "WORDS"}),
    "history": (FIRST, {**FIRST, "history": [["WORDS", "yes"]]}),
    "system beside messages": (chat("Q", "A"), {**chat("R", "B"), "system": "WORDS"}),
    "system beside a prompt": (
        {"prompt": "Q", "completion": "A"},
        {"prompt": "R", "completion": "B", "system": "WORDS"},
    ),
}


@pytest.mark.parametrize("case", LATER)
def test_a_column_that_the_first_row_has_not_is_read(case: str, tmp_path: Path) -> None:
    first, second = LATER[case]

    result = _run(tmp_path, first, second)

    assert ["WORDS" in text for text in _texts(result)] == [False, True]
    assert result.profile.ignored_columns == []
    assert case.split(maxsplit=1)[0] in result.profile.format
    assert ";" not in result.profile.format


@pytest.mark.parametrize("case", LATER)
def test_a_column_that_the_user_leaves_out_is_left_out(case: str, tmp_path: Path) -> None:
    result = _run(tmp_path, LATER[case][1], dataset__ignoreKeys=[case.split(maxsplit=1)[0]])

    assert "WORDS" not in _texts(result)[0]


def test_messages_beside_a_text_that_belongs_to_none_are_refused(tmp_path: Path) -> None:
    error = _refused(tmp_path, {"instruction": [QUESTION], "input": "WORDS", "output": "A"})

    assert "line 1: has messages in the column 'instruction', and a text in 'input'" in error.message


PROMPTS: dict[str, list[dict[str, Any]]] = {
    "ShareGPT": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "EARLIER"}, {"from": "human", "value": "R"}],
    "null for a weight": [QUESTION, {"role": "assistant", "content": "EARLIER", "weight": None}, QUESTION],
    "a key that is ignored": [QUESTION, {"role": "assistant", "content": "EARLIER", "weight": 0.5}, QUESTION],
}


@pytest.mark.parametrize("case", PROMPTS)
def test_an_answer_inside_a_prompt_is_not_learned(case: str, tmp_path: Path) -> None:
    result = _run(tmp_path, {"prompt": PROMPTS[case], "completion": "done"}, dataset__ignoreKeys=["weight"])

    assert _learned(result) == "done<|im_end|>"
    assert "EARLIER" in _texts(result)[0]


def test_an_answer_inside_a_prompt_is_learned_where_the_row_says_so(tmp_path: Path) -> None:
    turns = [QUESTION, {**ANSWER, "train": True}, QUESTION]

    assert _learned(_run(tmp_path, {"prompt": turns, "completion": "done"})) == "A<|im_end|>done<|im_end|>"


@pytest.mark.parametrize("speaker", ["human", "function_call"])
def test_a_turn_in_two_forms_that_differ_is_refused(speaker: str, tmp_path: Path) -> None:
    turn = {"from": speaker, "value": '{"name": "f", "arguments": {}}', "content": "other words"}

    error = _refused(tmp_path, {"conversations": [turn, {"from": "gpt", "value": "A"}]})

    assert "turn 1 has value and content, of which one would be dropped" in error.message


def test_turns_are_counted_as_in_the_file_where_a_system_prompt_is_set(tmp_path: Path) -> None:
    error = _refused(tmp_path, chat("Q<|im_end|>", "A"), dataset__systemPrompt="You help.")

    assert "line 1: turn 1 (user) contains the special token" in error.message


TWICE = '{"name": "f", "name": "g", "arguments": {}}'
TEXTS: dict[str, Any] = {
    "tools": {**chat("Q", "A"), "tools": f"[{TWICE}]"},
    "arguments": {
        "messages": [QUESTION, {**ANSWER, "tool_calls": [{"function": {"name": "f", "arguments": TWICE}}]}],
    },
    "a call": {"conversations": [{"from": "human", "value": "Q"}, {"from": "function_call", "value": TWICE}]},
    "messages": {"messages": f"[{TWICE}]"},
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_key_that_stands_twice_in_json_within_a_text_is_named(case: str, tmp_path: Path) -> None:
    assert "it names the key 'name' twice in one object; keep one of them" in _refused(tmp_path, TEXTS[case]).message


def _with_tools(schema: Any, arguments: Any, identity: str = "call00001") -> dict[str, Any]:
    call = {"id": identity, "type": "function", "function": {"name": "f", "arguments": arguments}}
    turns = [QUESTION, {"role": "assistant", "tool_calls": [call]}]
    turns += [{"role": "tool", "tool_call_id": identity, "content": "found"}, ANSWER]
    return {"messages": turns, "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}


#: Schemas on which the library raises errors of its own, and words for them.
ODD_SCHEMAS: dict[str, tuple[Any, Any, str]] = {
    "a reference to a number": ({"$ref": "#/x", "x": 5}, {}, "turn 2, call 1 of f: arguments cannot"),
    "a reference to a text": ({"$ref": "#/required/0", "required": ["a"]}, {"a": 1}, "arguments cannot"),
    "an address that is none": ({"$id": "http://[bad", "$ref": "y"}, {}, "arguments cannot"),
    "a number of 400 digits": ({"properties": {"a": {"multipleOf": 0.1}}}, {"a": 10**400}, "arguments cannot"),
}


@pytest.mark.parametrize("case", ODD_SCHEMAS)
def test_a_schema_that_breaks_the_library_is_named(case: str, tmp_path: Path) -> None:
    schema, arguments, words = ODD_SCHEMAS[case]

    assert words in _refused(tmp_path, _with_tools(schema, arguments)).message


def test_a_number_beyond_64_bits_is_named_with_what_helps(tmp_path: Path) -> None:
    error = _refused(tmp_path, _with_tools({}, '{"a": 1e309}'))

    assert "turn 2, call 1 of f: arguments holds a number that JSON has not, or one beyond 1.8e308" in error.message
    assert error.hint == "write such a number as a text, or leave it out"


#: Special tokens of Gemma 4 in places where a look at the whole as JSON does not find them.
HIDDEN: dict[str, dict[str, Any]] = {
    "a text with quotes": _with_tools({}, {"a": 'x<|"|>, admin: true'}),
    "a key with quotes": _with_tools({}, {'<|"|>': 1}),
    "the id of a call": _with_tools({}, {}, identity="<turn|>"),
    "a tool": _with_tools({"description": '<|"|>'}, {}),
}


@pytest.mark.parametrize("case", HIDDEN)
def test_a_special_token_is_found_wherever_a_template_may_write_it(case: str, tmp_path: Path) -> None:
    file = data_file(tmp_path, "a.jsonl", lines([HIDDEN[case]]))

    with pytest.raises(TrainerError, match="contains the special token") as raised:
        pipeline.run(spec(), Dataset([file]), template("gemma4"), tmp_path)

    assert "a tool" in raised.value.message if case == "a tool" else "turn 2 (assistant)" in raised.value.message


def _parquet(folder: Path, **columns: Any) -> Result:
    table = pa.table(list(columns.values()), names=[name.rstrip("_") for name in columns])
    pq.write_table(table, folder / "a.parquet")
    return run(folder, [DataFile("a.parquet", folder / "a.parquet", "parquet", "")])


def test_a_parquet_file_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"a\.parquet names the column 'completion' twice"):
        _parquet(tmp_path, prompt=pa.array(["Q"]), completion=pa.array(["A"]), completion_=pa.array(["B"]))


def test_a_parquet_file_with_a_key_of_turns_twice_is_refused(tmp_path: Path) -> None:
    names, texts = ["role", "content", "content"], [["user", "assistant"], ["Q", "A"], ["R", "B"]]
    turns = pa.StructArray.from_arrays(
        [pa.array(text) for text in texts], fields=[pa.field(n, pa.string()) for n in names]
    )
    conversation = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), turns)

    with pytest.raises(TrainerError, match="content' twice"):
        _parquet(tmp_path, messages=conversation)


#: Columns with a meaning in a type that is not read.
NO_TEXT: dict[str, Any] = {
    "system": pa.array([b"You help."]),
    "tools": pa.array([{"name": "f"}]),
    "input": pa.array([b"x"]),
}


@pytest.mark.parametrize("name", NO_TEXT)
def test_a_column_with_a_meaning_that_holds_no_text_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=f"row 1: column '{name}' holds bytes, a structure or times") as raised:
        _parquet(tmp_path, instruction=pa.array(["Q"]), output=pa.array(["A"]), **{name: NO_TEXT[name]})

    assert f"dataset.ignoreKeys: [{name}]" in str(raised.value.hint)


def test_a_column_that_is_missing_because_it_holds_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="without text, so not read: completion"):
        _parquet(tmp_path, prompt=pa.array(["Q"]), completion=pa.array([b"A"]))


def _tokens(folder: Path, *rows: Any, **changes: Any) -> Result:
    return _run(folder, *rows, dataset__format="tokens", **changes)


def test_labels_that_the_first_row_has_not_are_read_and_said_to_be(tmp_path: Path) -> None:
    result = _tokens(tmp_path, {"input_ids": [5, 6]}, {"input_ids": [5, 6, 7], "labels": [-100, -100, 7]})

    assert [row["targets"] for row in result.rows()] == [[False, True], [False, False, True]]
    assert result.profile.format == "tokens (columns input_ids, labels)"
    assert result.profile.ignored_columns == []


def test_labels_that_the_user_leaves_out_are_left_out(tmp_path: Path) -> None:
    row = {"input_ids": [5, 6, 7], "labels": [-100, -100, 7]}

    assert _tokens(tmp_path, row, dataset__ignoreKeys=["labels"]).rows()[0]["targets"] == [False, True, True]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"completion_mask": [0, 0, 1]}, "says in completion_mask which tokens count"),
        ({"assistant_masks": [0, 0, 1]}, "says in assistant_masks which tokens count"),
        ({"attention_mask": [1, -5, 1]}, "attention_mask holds -5, expected 0 or 1"),
    ],
)
def test_marks_of_tokens_that_are_not_understood_are_refused(more: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=words):
        _tokens(tmp_path, {"input_ids": [5, 6, 7], **more})


def test_lines_that_end_with_a_carriage_return_alone_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="a carriage return that no line feed follows"):
        run(tmp_path, [data_file(tmp_path, "a.csv", b"prompt,completion\rQ,A\r")])
