"""What a row says is trained as it says it, or refused by file, line, turn and key; nothing is dropped in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.data import pipeline, prepared
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.data.template.chat_template import ChatTemplate
from lora_trainer.errors import TrainerError
from support.chat_models import tokenizer
from support.conversations import QUESTION, REST, answer, call, prepared_with
from support.prepared_data import Result, chat, data_file, lines, run, spec
from support.published_templates import tokenizer as published


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


@pytest.mark.parametrize("mark", [{"weight": 0}, {"weight": 0.0}, {"train": False}])
def test_an_answer_that_is_not_to_be_learned_is_no_target(mark: dict[str, Any], tmp_path: Path) -> None:
    result = _run(tmp_path, QUESTION, answer("WRONG", **mark), *REST)

    assert _learned(result) == ["Yes, sure.<|im_end|>"]
    assert "WRONG" in tokenizer("chatml").decode(result.rows()[0]["input_ids"])
    answers = result.profile.answers
    assert (answers.trained, answers.weight + answers.train) == (1, 1)


@pytest.mark.parametrize("mark", [{"weight": 1}, {"weight": 1.0}, {"weight": None}, {"train": True}])
def test_an_answer_that_is_to_be_learned_is_a_target(mark: dict[str, Any], tmp_path: Path) -> None:
    assert _learned(_run(tmp_path, QUESTION, answer("Rain.", **mark), *REST)) == [
        "Rain.<|im_end|>",
        "Yes, sure.<|im_end|>",
    ]


def test_only_the_last_answer_counts_where_the_spec_says_so(tmp_path: Path) -> None:
    result = _run(tmp_path, QUESTION, answer("Rain."), *REST, training__trainOn="last")

    assert _learned(result) == ["Yes, sure.<|im_end|>"]
    assert result.profile.answers.dump() == {
        "trained": 1,
        "weighted": 0,
        "weight": 0,
        "train": 0,
        "earlier": 1,
        "withoutReasoning": 0,
    }


def test_keys_without_a_value_are_as_good_as_absent(tmp_path: Path) -> None:
    # What Arrow writes: each key that some message of the file has, in every message
    nulls = dict.fromkeys(("name", "weight", "tool_calls", "refusal", "annotations", "audio"))
    turns = [{**QUESTION, **nulls}, answer("Rain.", **nulls, function_call=None, tools=[])]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist([{"messages": turns}]), path)

    assert _learned(run(tmp_path, [data_file(tmp_path, "b.parquet", path.read_bytes())])) == ["Rain.<|im_end|>"]


def test_keys_that_the_spec_names_are_left_out(tmp_path: Path) -> None:
    turns = (QUESTION, answer("Rain.", score=0.7, reasoning="It is wet.", weight=0.5))

    result = _run(tmp_path, *turns, dataset__ignoreKeys=["score", "reasoning", "weight"])

    assert _learned(result) == ["Rain.<|im_end|>"]


def test_columns_that_nothing_reads_are_told_whichever_row_has_them(tmp_path: Path) -> None:
    rows = [chat("Q", "A"), {**chat("R", "B"), "rejected": "C", "id": None}, {**chat("S", "D"), "source": "x"}]

    profile = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))], dataset__ignoreKeys=["source"]).profile

    assert profile.ignored_columns == ["rejected"]


def test_equal_conversations_that_train_other_answers_are_both_kept(tmp_path: Path) -> None:
    first = [QUESTION, answer("Rain.", weight=1), REST[0], answer("Yes.", weight=0)]
    second = [QUESTION, answer("Rain.", weight=0), REST[0], answer("Yes.", weight=1)]
    rows = [{"messages": turns} for turns in (first, second, second)]

    result = run(tmp_path, [data_file(tmp_path, "a.jsonl", lines(rows))])

    assert len(result.rows()) == 2
    assert result.profile.duplicate_rows == 1


BAD_TURNS: dict[str, tuple[list[Any], str]] = {
    "an unknown key": ([QUESTION, answer("Rain.", score=3)], "turn 2 (assistant) has the key score, which would be"),
    "keys of another role": (
        [{**QUESTION, "tool_call_id": "c", "tool_calls": [1]}, answer("Rain.")],
        "turn 1 (user) has the keys tool_call_id, tool_calls",
    ),
    "a weight below 0": ([QUESTION, answer("Rain.", weight=-0.5)], "turn 2 has weight -0.5, expected a number from 0"),
    "a weight above 1": ([QUESTION, answer("Rain.", weight=2)], "turn 2 has weight 2, expected a number from 0 to 1"),
    "hardly any weight": ([QUESTION, answer("Rain.", weight=1e-9)], "turn 2 has weight 1e-09; above 0 it must be at"),
    "a weight in words": ([QUESTION, answer("Rain.", weight="0")], "turn 2: weight is a text, expected a number from"),
    "a weight of true": ([QUESTION, answer("Rain.", weight=True)], "turn 2: weight is true or false, expected a num"),
    "a fraction of a question": ([{**QUESTION, "weight": 0.5}, answer("Rain.")], "turn 1 (user) is to be learned"),
    "a fraction against train": ([QUESTION, answer("Rain.", weight=0.5, train=False)], "contradict each other"),
    "train in words": ([QUESTION, answer("Rain.", train="no")], "turn 2: train is a text, expected true or false"),
    "weight against train": ([QUESTION, answer("Rain.", weight=0, train=True)], "contradict each other"),
    "a question to learn": ([{**QUESTION, "train": True}, answer("Rain.")], "turn 1 (user) is to be learned"),
    "nothing to learn": ([QUESTION, answer("Rain.", weight=0)], "has no answer that counts"),
    "two reasonings": (
        [QUESTION, answer("Rain.", reasoning="a", thinking="b")],
        "turn 2 has reasoning and thinking with different texts",
    ),
    "reasoning that the template drops": (
        [QUESTION, answer("Rain.", reasoning_content="It is wet.")],
        "turn 2: the chat template of example/chatml leaves out reasoning_content",
    ),
    "a name that the template drops": ([{**QUESTION, "name": "Bob"}, answer("Rain.")], "has the name 'Bob', but"),
    "tools that the template drops": (
        [QUESTION, answer(None, tool_calls=[call()])],
        "turn 2, call 1 is of 'get_weather', which is not declared; the row has no column tools",
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
    rows = [{"messages": [{**QUESTION, "content": f"{key}?"}, answer("Rain.", **{key: "It is wet."})]} for key in keys]

    _, prepared_rows = prepared_with(tmp_path, "qwen3", rows)

    for row in prepared_rows:
        said = [token for token, target in zip(row["input_ids"], row["targets"], strict=True) if target]
        assert published("qwen3").decode(said) == "<think>\nIt is wet.\n</think>\n\nRain.<|im_end|>"


def test_a_thought_within_the_content_is_followed_by_as_many_line_breaks_as_a_model_writes(tmp_path: Path) -> None:
    row = {"messages": [QUESTION, answer("<think>\nIt is wet.\n</think>\n\nRain.")]}

    _, (prepared_row,) = prepared_with(tmp_path, "deepseekv3", [row])

    assert (
        published("deepseekv3")
        .decode(prepared_row["input_ids"])
        .endswith("<think>\nIt is wet.\n</think>\n\nRain.<\uff5cend\u2581of\u2581sentence\uff5c>")
    )


@pytest.mark.parametrize("name", ["qwen3", "qwen3_5_think", "deepseekv3", "nemotron_3_nano", "glm4moe"])
def test_answers_that_teach_not_to_reason_are_counted(name: str, tmp_path: Path) -> None:
    rows = [chat("Q", "A"), chat("R", "B"), {"messages": [QUESTION, answer("Rain.", reasoning_content="It is wet.")]}]

    profile, _ = prepared_with(tmp_path, name, rows)

    assert (profile.answers.trained, profile.answers.without_reasoning) == (3, 2)


def test_answers_of_a_template_without_reasoning_are_not_counted_as_such(tmp_path: Path) -> None:
    assert prepared_with(tmp_path, "qwen3_5_nothink", [chat("Q", "A")])[0].answers.without_reasoning == 0


def test_rows_of_one_conversation_stay_in_one_split_and_are_counted(tmp_path: Path) -> None:
    def turns(n: int) -> list[dict[str, Any]]:
        thinks = [answer(f"Answer {n} {k}", reasoning_content=f"Thought {n} {k}") for k in range(2)]
        return [{**QUESTION, "content": f"Question {n}"}, thinks[0], REST[0], thinks[1]]

    split = {"validation": 0, "test": 0.4}
    profile, train = prepared_with(tmp_path, "qwen3", [{"messages": turns(n)} for n in range(20)], dataset__split=split)

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
    result = _run(tmp_path, system, QUESTION, answer("Rain."), family="qwen2.5")

    assert "created by Alibaba" not in tokenizer("qwen2.5").decode(result.rows()[0]["input_ids"])


def test_instructions_of_a_developer_are_those_of_the_system_where_the_template_knows_no_developer(
    tmp_path: Path,
) -> None:
    rows = [{"messages": [{"role": "developer", "content": "Be brief."}, QUESTION, answer("Rain.")]}]

    _, (row,) = prepared_with(tmp_path, "llama3_1", rows)

    assert "Be brief." in published("llama3_1").decode(row["input_ids"])


def test_the_seam_between_prompt_and_answer_is_that_of_the_server(tmp_path: Path) -> None:
    # An answer without reasoning behind an open think block: the line breaks at the seam would be one token
    _, (row,) = prepared_with(tmp_path, "qwen3_5_think", [chat("Q", "A")])

    start = row["targets"].index(True)
    asked = published("qwen3_5_think").apply_chat_template(
        chat("Q", "A")["messages"][:1], add_generation_prompt=True, return_dict=False
    )
    assert row["input_ids"][:start] == list(asked)
    assert published("qwen3_5_think").decode(row["input_ids"][start:]) == "\n</think>\n\nA<|im_end|>\n"


def test_a_stop_token_that_only_the_next_turn_writes_must_be_listed_as_an_end(tmp_path: Path) -> None:
    # GLM's template, for a model whose generation config does not say that <|user|> ends answers
    unlisted = ChatTemplate(published("glm4moe"), "glm")
    unlisted.check()
    files = Dataset([data_file(tmp_path, "a.jsonl", lines([chat("Q", "A")]))])

    with pytest.raises(TrainerError, match="writes no stop token behind turn 2") as raised:
        pipeline.run(spec(), files, unlisted, tmp_path)

    assert raised.value.hint == "name the token at which servers end answers as eos_token_id in generation_config.json"
    with pytest.raises(TrainerError, match="not one of 1 row is good"):
        pipeline.run(spec(dataset__onBadRows="Skip"), files, unlisted, tmp_path)


def test_under_all_tokens_only_the_first_row_of_a_conversation_counts_whole(tmp_path: Path) -> None:
    turns = [
        QUESTION,
        answer("Rain.", reasoning_content="It is wet."),
        REST[0],
        answer("Yes.", reasoning_content="So."),
    ]

    _, (first, second) = prepared_with(tmp_path, "qwen3", [{"messages": turns}], training__trainOn="all")

    assert first["targets"] == [False] + [True] * (first["length"] - 1)
    said = [token for token, target in zip(second["input_ids"], second["targets"], strict=True) if target]
    assert published("qwen3").decode(said) == "<think>\nSo.\n</think>\n\nYes.<|im_end|>"


@pytest.mark.parametrize("mark", [{"weight": 0}, {"train": False}])
def test_under_all_tokens_an_answer_cannot_be_left_out(mark: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        TrainerError, match=r"turn 2 is not to be learned \(\w+\), but training.trainOn is all"
    ) as raised:
        _run(tmp_path, QUESTION, answer("Rain.", **mark), *REST, training__trainOn="all")

    assert raised.value.hint == f"set training.trainOn: assistant, or dataset.ignoreKeys: [{next(iter(mark))}]"


def test_the_last_answer_must_count_where_it_alone_does(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="has no answer that counts: its last one has weight 0 or train false"):
        _run(tmp_path, QUESTION, answer("Rain."), REST[0], answer("Yes.", weight=0), training__trainOn="last")


def test_several_user_turns_in_a_row_are_taken_where_the_template_takes_them(tmp_path: Path) -> None:
    assert _learned(_run(tmp_path, QUESTION, REST[0], answer("Rain."))) == ["Rain.<|im_end|>"]

    with pytest.raises(TrainerError, match="is refused by the chat template of gemma: Conversation roles must alt"):
        prepared_with(tmp_path / "gemma", "gemma", [{"messages": [QUESTION, REST[0], answer("Rain.")]}])
