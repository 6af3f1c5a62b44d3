"""Tools are learned in every form that files have; each fault of them is named by line, turn and call."""

from __future__ import annotations

import json
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.data import guard, pipeline, prepared
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.errors import TrainerError
from support.conversations import QUESTION, answer, call, prepared_with, result
from support.prepared_data import chat, data_file, lines, run, spec
from support.published_templates import TOOLS, template
from support.published_templates import tokenizer as published

FORMS_OF_TOOLS: dict[str, dict[str, Any]] = {
    "as a list": {"tools": TOOLS},
    "as a text": {"tools": json.dumps(TOOLS)},
    "bare functions": {"tools": [tool["function"] for tool in TOOLS]},
    "of before 2024": {"functions": [tool["function"] for tool in TOOLS]},
}
FORMS_OF_CALLS: dict[str, list[dict[str, Any]]] = {
    "arguments as an object": [answer(None, tool_calls=[call()]), result()],
    "arguments as a text": [answer("", tool_calls=[call('{"city": "Oslo"}')]), result()],
    "no content": [{"role": "assistant", "tool_calls": [call()]}, result()],
    "function_call": [
        answer(None, function_call={"name": "get_weather", "arguments": '{"city": "Oslo"}'}),
        {"role": "function", "name": "get_weather", "content": "heavy rain"},
    ],
    "a result of no text": [answer(None, tool_calls=[call()]), result("")],
    "an answer in front of the call": [answer("I look."), answer(None, tool_calls=[call()]), result()],
}


@pytest.mark.parametrize("calls", FORMS_OF_CALLS)
@pytest.mark.parametrize("tools", FORMS_OF_TOOLS)
def test_tools_are_learned_in_every_form_that_files_have(tools: str, calls: str, tmp_path: Path) -> None:
    row = {"messages": [QUESTION, *FORMS_OF_CALLS[calls], answer("Take a coat.")], **FORMS_OF_TOOLS[tools]}

    profile, (prepared_row,) = prepared_with(tmp_path, "qwen2_5", [row])

    ids, targets = prepared_row["input_ids"], prepared_row["targets"]
    learned = published("qwen2_5").decode([token for token, target in zip(ids, targets, strict=True) if target])
    assert '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call><|im_end|>' in learned
    assert learned.endswith("Take a coat.<|im_end|>")
    assert "rain" not in learned
    assert "Tells the weather of now" in published("qwen2_5").decode(ids)
    assert profile.ignored_columns == []


def _tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "get_weather", **function}}


BAD_TOOLS: dict[str, tuple[dict[str, Any], str]] = {
    "an undeclared tool": (
        {"tools": [_tool(name="get_time")]},
        "turn 2, call 1 is of 'get_weather', which is not declared; the row declares get_time",
    ),
    "an argument of another type": (
        {"calls": [call({"city": 5})]},
        "turn 2, call 1 of get_weather: arguments.city: 5 is not of type 'string'",
    ),
    "a missing argument": ({"calls": [call({})]}, "arguments: 'city' is a required property"),
    "arguments that are no JSON": (
        {"calls": [call('{"city": Oslo}')]},
        "turn 2, call 1 of get_weather: arguments is a text that is not JSON: Expecting value at column 10",
    ),
    "arguments in a list": ({"calls": [call(["Oslo"])]}, "arguments is an array, expected an object"),
    "a key that is not known": ({"calls": [call(confidence=0.4)]}, "turn 2, call 1 has the key confidence"),
    "a result of another call": (
        {"results": [result(tool_call_id="call00009")]},
        "turn 3 is the result of call00009, but the call call00001 of get_weather waits for a result",
    ),
    "a call without a result": (
        {"results": []},
        "turn 3 is assistant, but the call call00001 of get_weather of turn 2",
    ),
    "two results": ({"results": [result(), result()]}, "turn 4 is the result of call00001, but no call waits"),
    "a result that is an object": ({"results": [result({"t": 3})]}, "turn 3: content is an object, expected a text"),
    "two calls of one id": ({"calls": [call(), call()]}, "turn 2 has two calls with the same id"),
    "a schema that is none": (
        {"tools": [_tool(parameters={"type": "strange"})]},
        "tool 1 (get_weather): parameters is no JSON schema: 'strange' is not valid",
    ),
    "a schema from elsewhere": (
        {"tools": [_tool(parameters={"$ref": "https://example.org/schema.json"})]},
        "turn 2, call 1 of get_weather: arguments cannot be checked: their schema refers to what it does not hold",
    ),
    "a schema without end": (
        {"tools": [_tool(parameters={"$ref": "#"})]},
        "their schema refers to itself without end",
    ),
    "a tool that is no function": ({"tools": [{"type": "web_search"}]}, "tool 1 has the type 'web_search'; only func"),
    "a tool twice": ({"tools": [*TOOLS, *TOOLS]}, "declares the tool 'get_weather' twice"),
    "tools that are no JSON": ({"tools": "get_weather"}, "tools is a text that is not a JSON list of tools"),
}


@pytest.mark.parametrize("case", BAD_TOOLS)
def test_a_fault_of_tools_is_named_by_line_turn_and_call(case: str, tmp_path: Path) -> None:
    parts, words = BAD_TOOLS[case]
    calls, results = parts.get("calls", [call()]), parts.get("results", [result()])
    turns = [QUESTION, answer(None, tool_calls=calls), *results, answer("Take a coat.")]

    with pytest.raises(TrainerError) as raised:
        prepared_with(tmp_path, "qwen2_5", [{"messages": turns, "tools": parts.get("tools", TOOLS)}])

    assert raised.value.exit_code is ExitCode.BAD_DATA
    assert raised.value.param == "a.jsonl:1"
    assert words in raised.value.message


def test_a_template_that_shows_no_tools_refuses_them_by_name(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="line 1: offers tools, but the chat template of llama3 shows none"):
        prepared_with(tmp_path, "llama3", [{**chat("Q", "A"), "tools": list(TOOLS)}])


def test_a_template_that_shows_tools_but_no_calls_takes_rows_without_calls(tmp_path: Path) -> None:
    _, (row,) = prepared_with(tmp_path, "lfm2", [{**chat("Q", "A"), "tools": list(TOOLS)}])

    assert "Tells the weather of now" in published("lfm2").decode(row["input_ids"])


def test_a_template_that_shows_no_calls_refuses_them_by_turn(tmp_path: Path) -> None:
    turns = [QUESTION, answer(None, tool_calls=[call()]), result(), answer("Take a coat.")]

    with pytest.raises(TrainerError, match="line 1: turn 2 calls a tool, but the chat template of lfm2 shows no calls"):
        prepared_with(tmp_path, "lfm2", [{"messages": turns, "tools": list(TOOLS)}])


def test_several_calls_where_the_template_shows_one_are_refused_by_turn(tmp_path: Path) -> None:
    calls = [call(), call(id="call00002")]
    results = [result(), result(tool_call_id="call00002")]
    turns = [QUESTION, answer(None, tool_calls=calls), *results, answer("Take a coat.")]

    with pytest.raises(TrainerError, match="turn 2 has 2 calls, but the chat template of gptoss shows one a turn"):
        prepared_with(tmp_path, "gptoss", [{"messages": turns, "tools": list(TOOLS)}])


def test_results_of_tools_are_never_learned_with_all_tokens_either(tmp_path: Path) -> None:
    turns = [QUESTION, answer(None, tool_calls=[call()]), result(), answer("Take a coat.")]

    with pytest.raises(TrainerError, match=r"turn 3 is the result of a tool, which is never learned") as raised:
        prepared_with(tmp_path, "qwen2_5", [{"messages": turns, "tools": list(TOOLS)}], training__trainOn="all")

    assert raised.value.hint == "set training.trainOn: assistant"


def test_tools_of_parquet_are_read_without_the_nulls_that_arrow_writes(tmp_path: Path) -> None:
    # Two tools with other parameters: Arrow gives each of them those of both, with null
    other = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {
        "zone": {"type": "string"}}}}}  # fmt: skip
    turns = [QUESTION, answer(None, tool_calls=[call()]), result(), answer("Take a coat.")]
    second = [{**QUESTION, "content": "Time?"}, answer(None, tool_calls=[
        {"id": "call00001", "type": "function", "function": {"name": "get_time", "arguments": {"zone": "UTC"}}}
    ]), result("12:00"), answer("Noon.")]  # fmt: skip
    table = pa.Table.from_pylist([{"messages": chosen, "tools": [*TOOLS, other]} for chosen in (turns, second)])
    assert "None" in str(table.to_pylist()[0]["tools"])
    into = tmp_path / "out"
    into.mkdir()
    pq.write_table(table, tmp_path / "a.parquet")
    file = data_file(tmp_path, "b.parquet", (tmp_path / "a.parquet").read_bytes())

    pipeline.run(spec(training__maxLength=8192), Dataset([file]), template("qwen2_5"), into)

    text = published("qwen2_5").decode(pq.read_table(into / prepared.TRAIN).to_pylist()[1]["input_ids"])
    assert '{"name": "get_time", "arguments": {"zone": "UTC"}}' in text
    assert "null" not in text


def test_values_that_json_has_not_are_refused_in_words(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "get_weather", "since": datetime(2026, 1, 1)}}]
    pq.write_table(pa.Table.from_pylist([{**chat("Q", "A"), "tools": tools}]), tmp_path / "a.parquet")
    file = data_file(tmp_path, "b.parquet", (tmp_path / "a.parquet").read_bytes())

    with pytest.raises(TrainerError, match="row 1: tools holds what JSON has not: Object of type datetime"):
        run(tmp_path, [file])


def test_the_reference_of_a_call_is_what_the_model_is_to_say(tmp_path: Path) -> None:
    rows = [{"messages": [QUESTION, answer(None, tool_calls=[call()])], "tools": list(TOOLS)}]
    file = data_file(tmp_path, "t.jsonl", lines(rows))
    main = data_file(tmp_path, "a.jsonl", lines([chat("Q", "A")]))
    into = tmp_path / "out"
    into.mkdir()
    changes = {"training__maxLength": 8192, "dataset__testUri": "s3://datasets/t.jsonl"}

    pipeline.run(spec(**changes), Dataset([main], test=[file]), template("qwen2_5"), into)

    (row,) = pq.read_table(into / prepared.TEST).to_pylist()
    assert row["reference"] == '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'


def test_a_pattern_that_never_ends_is_told_with_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "ROW_CPU_SECONDS", 0.2)
    city = {"type": "string", "pattern": "^(a+)+$"}
    tools = [_tool(parameters={"type": "object", "properties": {"city": city}})]
    turns = [QUESTION, answer(None, tool_calls=[call({"city": "a" * 60 + "!"})])]
    watch = guard.Guard()
    before = signal.getsignal(signal.SIGVTALRM)
    monkeypatch.setattr(watch, "limit_memory", lambda: None)
    watch.enforce()
    try:
        file = data_file(tmp_path, "a.jsonl", lines([{"messages": turns, "tools": tools}]))
        with pytest.raises(TrainerError, match="line 1: checking the calls of its tools takes more than"):
            pipeline.run(spec(), Dataset([file]), template("qwen2_5"), tmp_path, watch)
    finally:
        signal.signal(signal.SIGVTALRM, before)
