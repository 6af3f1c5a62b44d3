"""What a row says is trained as it says it, or refused by file, line, turn and key; nothing is dropped in silence."""

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
from lora_trainer.data.profile import DataProfile
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.errors import TrainerError
from support.chat_models import tokenizer
from support.prepared_data import Result, chat, data_file, lines, run, spec
from support.published_templates import TOOLS, template
from support.published_templates import tokenizer as published

QUESTION = {"role": "user", "content": "Weather in Oslo?"}
REST = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes, sure."}]


def _answer(text: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def _call(arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {"name": "get_weather", "arguments": {"city": "Oslo"} if arguments is None else arguments}
    return {"id": "call00001", "type": "function", "function": function, **more}


def _result(text: str = "heavy rain", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "call00001", "content": text, **more}


def _run(folder: Path, *turns: Any, **changes: Any) -> Result:
    return run(folder, [data_file(folder, "a.jsonl", lines([{"messages": list(turns)}]))], **changes)


def _learned(result: Result) -> list[str]:
    """What counts in the first row, decoded."""
    (row,) = result.rows()
    ids = [token if target else None for token, target in zip(row["input_ids"], row["targets"], strict=True)]
    runs: list[list[int]] = [[]]
    for token in ids:
        if token is not None:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    return [tokenizer("chatml").decode(run) for run in runs if run]


def _prepared(folder: Path, name: str, rows: list[Any], **changes: Any) -> tuple[DataProfile, list[dict[str, Any]]]:
    """Prepare rows with a published template."""
    into = folder / "out"
    into.mkdir()
    files = Dataset([data_file(folder, "a.jsonl", lines(rows))])
    profile = pipeline.run(spec(**{"training__maxLength": 8192, **changes}), files, template(name), into)
    return profile, pq.read_table(into / prepared.TRAIN).to_pylist()


@pytest.mark.parametrize("mark", [{"weight": 0}, {"weight": 0.0}, {"train": False}])
def test_an_answer_that_is_not_to_be_learned_is_no_target(mark: dict[str, Any], tmp_path: Path) -> None:
    result = _run(tmp_path, QUESTION, _answer("WRONG", **mark), *REST)

    assert _learned(result) == ["Yes, sure.<|im_end|>"]
    assert "WRONG" in tokenizer("chatml").decode(result.rows()[0]["input_ids"])
    answers = result.profile.answers
    assert (answers.trained, answers.weight + answers.train) == (1, 1)


@pytest.mark.parametrize("mark", [{"weight": 1}, {"weight": 1.0}, {"weight": None}, {"train": True}])
def test_an_answer_that_is_to_be_learned_is_a_target(mark: dict[str, Any], tmp_path: Path) -> None:
    assert _learned(_run(tmp_path, QUESTION, _answer("Rain.", **mark), *REST)) == [
        "Rain.<|im_end|>",
        "Yes, sure.<|im_end|>",
    ]


def test_only_the_last_answer_counts_where_the_spec_says_so(tmp_path: Path) -> None:
    result = _run(tmp_path, QUESTION, _answer("Rain."), *REST, training__trainOn="last")

    assert _learned(result) == ["Yes, sure.<|im_end|>"]
    assert result.profile.answers.dump() == {"trained": 1, "weight": 0, "train": 0, "earlier": 1, "withoutReasoning": 0}


def test_keys_without_a_value_are_as_good_as_absent(tmp_path: Path) -> None:
    # given what Arrow writes: each key that some message of the file has, in every message
    nulls = dict.fromkeys(("name", "weight", "tool_calls", "refusal", "annotations", "audio"))
    turns = [{**QUESTION, **nulls}, _answer("Rain.", **nulls, function_call=None, tools=[])]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist([{"messages": turns}]), path)

    assert _learned(run(tmp_path, [data_file(tmp_path, "b.parquet", path.read_bytes())])) == ["Rain.<|im_end|>"]


def test_keys_that_the_spec_names_are_left_out(tmp_path: Path) -> None:
    turns = (QUESTION, _answer("Rain.", score=0.7, reasoning="It is wet.", weight=0.5))

    result = _run(tmp_path, *turns, dataset__ignoreKeys=["score", "reasoning", "weight"])

    assert _learned(result) == ["Rain.<|im_end|>"]


def test_columns_that_nothing_reads_are_told_whichever_row_has_them(tmp_path: Path) -> None:
    rows = [chat("Q", "A"), {**chat("R", "B"), "rejected": "C", "id": None}, {**chat("S", "D"), "source": "x"}]

    profile = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))], dataset__ignoreKeys=["source"]).profile

    assert profile.ignored_columns == ["rejected"]


def test_equal_conversations_that_train_other_answers_are_both_kept(tmp_path: Path) -> None:
    first = [QUESTION, _answer("Rain.", weight=1), REST[0], _answer("Yes.", weight=0)]
    second = [QUESTION, _answer("Rain.", weight=0), REST[0], _answer("Yes.", weight=1)]
    rows = [{"messages": turns} for turns in (first, second, second)]

    result = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))])

    assert len(result.rows()) == 2
    assert result.profile.duplicate_rows == 1


BAD_TURNS: dict[str, tuple[list[Any], str]] = {
    "an unknown key": ([QUESTION, _answer("Rain.", score=3)], "turn 2 (assistant) has the key score, which would be"),
    "keys of another role": (
        [{**QUESTION, "tool_call_id": "c", "tool_calls": [1]}, _answer("Rain.")],
        "turn 1 (user) has the keys tool_call_id, tool_calls",
    ),
    "a fraction": ([QUESTION, _answer("Rain.", weight=0.5)], "turn 2 has weight 0.5; only 0 and 1"),
    "a weight in words": ([QUESTION, _answer("Rain.", weight="0")], "turn 2: weight is a text, expected 0 or 1"),
    "train in words": ([QUESTION, _answer("Rain.", train="no")], "turn 2: train is a text, expected true or false"),
    "weight against train": ([QUESTION, _answer("Rain.", weight=0, train=True)], "contradict each other"),
    "a question to learn": ([{**QUESTION, "train": True}, _answer("Rain.")], "turn 1 (user) is to be learned"),
    "nothing to learn": ([QUESTION, _answer("Rain.", weight=0)], "has no answer that counts"),
    "two reasonings": (
        [QUESTION, _answer("Rain.", reasoning="a", thinking="b")],
        "turn 2 has reasoning and thinking with different texts",
    ),
    "reasoning that the template drops": (
        [QUESTION, _answer("Rain.", reasoning_content="It is wet.")],
        "turn 2: the chat template of example/chatml leaves out reasoning_content",
    ),
    "a name that the template drops": ([{**QUESTION, "name": "Bob"}, _answer("Rain.")], "has the name 'Bob', but"),
    "tools that the template drops": (
        [QUESTION, _answer(None, tool_calls=[_call()])],
        "turn 2, call 1 is of 'get_weather', which is not declared; the row offers no tools",
    ),
}


@pytest.mark.parametrize("case", BAD_TURNS)
def test_what_would_be_dropped_is_refused_by_line_turn_and_key(case: str, tmp_path: Path) -> None:
    turns, words = BAD_TURNS[case]

    with pytest.raises(TrainerError) as raised:
        _run(tmp_path, *turns)

    assert raised.value.exit_code is ExitCode.BAD_DATA
    assert raised.value.param == "a.jsonl:1"
    assert words in raised.value.message
    assert raised.value.hint


def test_reasoning_is_learned_whatever_its_key_is_called(tmp_path: Path) -> None:
    keys = ("reasoning_content", "reasoning", "thinking")
    rows = [{"messages": [{**QUESTION, "content": f"{key}?"}, _answer("Rain.", **{key: "It is wet."})]} for key in keys]

    _, prepared_rows = _prepared(tmp_path, "qwen3", rows)

    for row in prepared_rows:
        said = [token for token, target in zip(row["input_ids"], row["targets"], strict=True) if target]
        assert published("qwen3").decode(said) == "<think>\nIt is wet.\n</think>\n\nRain.<|im_end|>"


@pytest.mark.parametrize("name", ["qwen3", "qwen3_5_think", "deepseekv3", "nemotron_3_nano", "glm4moe"])
def test_answers_that_teach_not_to_reason_are_counted(name: str, tmp_path: Path) -> None:
    rows = [chat("Q", "A"), chat("R", "B"), {"messages": [QUESTION, _answer("Rain.", reasoning_content="It is wet.")]}]

    profile, _ = _prepared(tmp_path, name, rows)

    assert (profile.answers.trained, profile.answers.without_reasoning) == (3, 2)


def test_answers_of_a_template_without_reasoning_are_not_counted_as_such(tmp_path: Path) -> None:
    assert _prepared(tmp_path, "qwen3_5_nothink", [chat("Q", "A")])[0].answers.without_reasoning == 0


def test_rows_of_one_conversation_stay_in_one_split_and_are_counted(tmp_path: Path) -> None:
    def turns(n: int) -> list[dict[str, Any]]:
        thinks = [_answer(f"Answer {n} {k}", reasoning_content=f"Thought {n} {k}") for k in range(2)]
        return [{**QUESTION, "content": f"Question {n}"}, thinks[0], REST[0], thinks[1]]

    split = {"validation": 0, "test": 0.4}
    profile, train = _prepared(tmp_path, "qwen3", [{"messages": turns(n)} for n in range(20)], dataset__split=split)

    texts = [published("qwen3").decode(row["input_ids"]) for row in train]
    test = pq.read_table(tmp_path / "out" / prepared.TEST).to_pylist()
    assert len(train) + len(test) == 40
    assert 0 < profile.conversations == len(train) / 2 < 20
    assert profile.answers.trained == 40
    assert profile.unrolling_tokens == sum(len(row["input_ids"]) for row in train[::2])
    for row in test:
        question = published("qwen3").decode(row["prompt_ids"]).partition("<|im_end|>")[0]
        assert not any(text.startswith(question + "<|im_end|>") for text in texts)


def test_a_system_turn_without_text_switches_off_the_default_of_the_template(tmp_path: Path) -> None:
    system = {"role": "system", "content": ""}
    result = _run(tmp_path, system, QUESTION, _answer("Rain."), family="qwen2.5")

    assert "created by Alibaba" not in tokenizer("qwen2.5").decode(result.rows()[0]["input_ids"])


def test_instructions_of_a_developer_are_those_of_the_system_where_the_template_knows_no_developer(
    tmp_path: Path,
) -> None:
    rows = [{"messages": [{"role": "developer", "content": "Be brief."}, QUESTION, _answer("Rain.")]}]

    _, (row,) = _prepared(tmp_path, "llama3_1", rows)

    assert "Be brief." in published("llama3_1").decode(row["input_ids"])


FORMS_OF_TOOLS: dict[str, dict[str, Any]] = {
    "as a list": {"tools": TOOLS},
    "as a text": {"tools": json.dumps(TOOLS)},
    "bare functions": {"tools": [tool["function"] for tool in TOOLS]},
    "of before 2024": {"functions": [tool["function"] for tool in TOOLS]},
}
FORMS_OF_CALLS: dict[str, list[dict[str, Any]]] = {
    "arguments as an object": [_answer(None, tool_calls=[_call()]), _result()],
    "arguments as a text": [_answer("", tool_calls=[_call('{"city": "Oslo"}')]), _result()],
    "no content": [{"role": "assistant", "tool_calls": [_call()]}, _result()],
    "function_call": [
        _answer(None, function_call={"name": "get_weather", "arguments": '{"city": "Oslo"}'}),
        {"role": "function", "name": "get_weather", "content": "heavy rain"},
    ],
    "a result of no text": [_answer(None, tool_calls=[_call()]), _result("")],
    "an answer in front of the call": [_answer("I look."), _answer(None, tool_calls=[_call()]), _result()],
}


@pytest.mark.parametrize("calls", FORMS_OF_CALLS)
@pytest.mark.parametrize("tools", FORMS_OF_TOOLS)
def test_tools_are_learned_in_every_form_that_files_have(tools: str, calls: str, tmp_path: Path) -> None:
    row = {"messages": [QUESTION, *FORMS_OF_CALLS[calls], _answer("Take a coat.")], **FORMS_OF_TOOLS[tools]}

    profile, (prepared_row,) = _prepared(tmp_path, "qwen2_5", [row])

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
        "turn 2, call 1 is of 'get_weather', which is not declared; declared are get_time",
    ),
    "an argument of another type": (
        {"calls": [_call({"city": 5})]},
        "turn 2, call 1 of get_weather: arguments.city: 5 is not of type 'string'",
    ),
    "a missing argument": ({"calls": [_call({})]}, "arguments: 'city' is a required property"),
    "arguments that are no JSON": (
        {"calls": [_call('{"city": Oslo}')]},
        "turn 2, call 1 of get_weather: arguments is a text that is not JSON: Expecting value at column 10",
    ),
    "arguments in a list": ({"calls": [_call(["Oslo"])]}, "arguments is an array, expected an object"),
    "a key that is not known": ({"calls": [_call(confidence=0.4)]}, "turn 2, call 1 has the key confidence"),
    "a result of another call": (
        {"results": [_result(tool_call_id="call00009")]},
        "turn 3 is the result of call00009, but the call call00001 of get_weather waits for a result",
    ),
    "a call without a result": (
        {"results": []},
        "turn 3 is assistant, but the call call00001 of get_weather of turn 2",
    ),
    "two results": ({"results": [_result(), _result()]}, "turn 4 is the result of call00001, but no call waits"),
    "a result that is an object": ({"results": [_result({"t": 3})]}, "turn 3: content is an object, expected a text"),
    "two calls of one id": ({"calls": [_call(), _call()]}, "turn 2 has two calls with the same id"),
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
    calls, results = parts.get("calls", [_call()]), parts.get("results", [_result()])
    turns = [QUESTION, _answer(None, tool_calls=calls), *results, _answer("Take a coat.")]

    with pytest.raises(TrainerError) as raised:
        _prepared(tmp_path, "qwen2_5", [{"messages": turns, "tools": parts.get("tools", TOOLS)}])

    assert raised.value.exit_code is ExitCode.BAD_DATA
    assert raised.value.param == "a.jsonl:1"
    assert words in raised.value.message


def test_a_template_that_shows_no_tools_refuses_them_by_name(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="line 1: offers tools, but the chat template of llama3 shows none"):
        _prepared(tmp_path, "llama3", [{**chat("Q", "A"), "tools": list(TOOLS)}])


def test_a_template_that_shows_tools_but_no_calls_takes_rows_without_calls(tmp_path: Path) -> None:
    _, (row,) = _prepared(tmp_path, "lfm2", [{**chat("Q", "A"), "tools": list(TOOLS)}])

    assert "Tells the weather of now" in published("lfm2").decode(row["input_ids"])


def test_a_template_that_shows_no_calls_refuses_them_by_turn(tmp_path: Path) -> None:
    turns = [QUESTION, _answer(None, tool_calls=[_call()]), _result(), _answer("Take a coat.")]

    with pytest.raises(TrainerError, match="line 1: turn 2 calls a tool, but the chat template of lfm2 shows no calls"):
        _prepared(tmp_path, "lfm2", [{"messages": turns, "tools": list(TOOLS)}])


def test_several_calls_where_the_template_shows_one_are_refused_by_turn(tmp_path: Path) -> None:
    calls = [_call(), _call(id="call00002")]
    results = [_result(), _result(tool_call_id="call00002")]
    turns = [QUESTION, _answer(None, tool_calls=calls), *results, _answer("Take a coat.")]

    with pytest.raises(TrainerError, match="turn 2 has 2 calls, but the chat template of gptoss shows one a turn"):
        _prepared(tmp_path, "gptoss", [{"messages": turns, "tools": list(TOOLS)}])


def test_results_of_tools_are_never_learned_with_all_tokens_either(tmp_path: Path) -> None:
    turns = [QUESTION, _answer(None, tool_calls=[_call()]), _result(), _answer("Take a coat.")]

    with pytest.raises(TrainerError, match=r"turn 3 is the result of a tool, which is never learned") as raised:
        _prepared(tmp_path, "qwen2_5", [{"messages": turns, "tools": list(TOOLS)}], training__trainOn="all")

    assert raised.value.hint == "set training.trainOn: assistant"


def test_the_seam_between_prompt_and_answer_is_that_of_the_server(tmp_path: Path) -> None:
    # given an answer without reasoning behind an open think block: the line breaks at the seam would be one token
    _, (row,) = _prepared(tmp_path, "qwen3_5_think", [chat("Q", "A")])

    start = row["targets"].index(True)
    asked = published("qwen3_5_think").apply_chat_template(
        chat("Q", "A")["messages"][:1], add_generation_prompt=True, return_dict=False
    )
    assert row["input_ids"][:start] == list(asked)
    assert published("qwen3_5_think").decode(row["input_ids"][start:]) == "\n</think>\n\nA<|im_end|>\n"


def test_tools_of_parquet_are_read_without_the_nulls_that_arrow_writes(tmp_path: Path) -> None:
    # given two tools with other parameters: Arrow gives each of them those of both, with null
    other = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {
        "zone": {"type": "string"}}}}}  # fmt: skip
    turns = [QUESTION, _answer(None, tool_calls=[_call()]), _result(), _answer("Take a coat.")]
    second = [{**QUESTION, "content": "Time?"}, _answer(None, tool_calls=[
        {"id": "call00001", "type": "function", "function": {"name": "get_time", "arguments": {"zone": "UTC"}}}
    ]), _result("12:00"), _answer("Noon.")]  # fmt: skip
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
    rows = [{"messages": [QUESTION, _answer(None, tool_calls=[_call()])], "tools": list(TOOLS)}]
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
    turns = [QUESTION, _answer(None, tool_calls=[_call({"city": "a" * 60 + "!"})])]
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


def test_a_stop_token_that_only_the_next_turn_writes_must_be_listed_as_an_end(tmp_path: Path) -> None:
    # given GLM's template, for a model whose generation config does not say that <|user|> ends answers
    unlisted = ChatTemplate(published("glm4moe"), "glm")
    unlisted.check()
    files = Dataset([data_file(tmp_path, "a.jsonl", lines([chat("Q", "A")]))])

    with pytest.raises(TrainerError, match="writes no stop token behind turn 2") as raised:
        pipeline.run(spec(), files, unlisted, tmp_path)

    assert raised.value.hint == "name the token at which servers end answers as eos_token_id in generation_config.json"
    with pytest.raises(TrainerError, match="all 1 rows are bad"):
        pipeline.run(spec(dataset__onBadRows="Skip"), files, unlisted, tmp_path)
