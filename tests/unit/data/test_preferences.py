"""Rows of preferences: every form reads as the same pairs, and each answer stands behind what the server asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lora_trainer.data import prepared
from support.bad_files import parquet
from support.chat_models import tokenizer
from support.conversations import answer, call, prepared_with, result
from support.prepared_data import Result, chat, data_file, lines, run
from support.published_templates import TOOLS

DPO, KTO = {"method": {"dpo": {}}}, {"method": {"kto": {}}}
QUESTION = {"role": "user", "content": "Q"}
PAIR = {"prompt": "Q", "chosen": "good", "rejected": "bad"}
SAME_PAIR: dict[str, dict[str, Any]] = {
    "texts": PAIR,
    "messages": {"prompt": [QUESTION], "chosen": [answer("good")], "rejected": [answer("bad")]},
    "a text and messages": {"prompt": "Q", "chosen": [answer("good")], "rejected": "bad"},
    "whole conversations": {"chosen": [QUESTION, answer("good")], "rejected": [QUESTION, answer("bad")]},
    "whole conversations and their prompt": {
        "prompt": "Q",
        "chosen": [QUESTION, answer("good")],
        "rejected": [QUESTION, answer("bad")],
    },
    "the hosted services": {
        "input": {"messages": [QUESTION], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [answer("good")],
        "non_preferred_output": [answer("bad")],
    },
    "ShareGPT": {
        "prompt": [{"from": "human", "value": "Q"}],
        "chosen": [{"from": "gpt", "value": "good"}],
        "rejected": [{"from": "gpt", "value": "bad"}],
    },
    "answers that are one message": {
        "prompt": "Q",
        "chosen": {"from": "gpt", "value": "good"},
        "rejected": answer("bad"),
    },
}


def prepare(folder: Path, *rows: Any, **changes: Any) -> Result:
    return run(folder, [data_file(folder, "a.jsonl", lines(rows))], **changes)


def text(ids: list[int]) -> str:
    return str(tokenizer("chatml").decode(ids))


def copies(row: dict[str, Any]) -> list[tuple[str, str]]:
    """The two copies of a pair: the whole text, and what of it counts."""
    at, found = row["rejected_from"], []
    for part in (slice(0, at), slice(at, None)):
        ids, targets = row["input_ids"][part], row["targets"][part]
        found.append((text(ids), text([token for token, counts in zip(ids, targets, strict=True) if counts])))
    return found


@pytest.mark.parametrize("form", SAME_PAIR)
def test_every_form_of_pairs_becomes_two_copies_of_the_prompt_with_an_answer_each(form: str, tmp_path: Path) -> None:
    (row,) = prepare(tmp_path, SAME_PAIR[form], **DPO).rows()

    prompt = "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"
    assert copies(row) == [
        (f"{prompt}good<|im_end|>\n", "good<|im_end|>"),
        (f"{prompt}bad<|im_end|>\n", "bad<|im_end|>"),
    ]
    assert row["length"] == len(row["input_ids"])


def test_columns_may_have_other_names_and_the_format_is_told(tmp_path: Path) -> None:
    columns = {"prompt": "ask", "chosen": "better", "rejected": "worse"}
    row = {"ask": "Q", "better": "good", "worse": "bad", "id": 7}

    result = prepare(tmp_path, row, **DPO, dataset__columns=columns)

    assert copies(result.rows()[0])[1][1] == "bad<|im_end|>"
    assert result.profile.format == "preference (columns ask, better, worse)"
    assert result.profile.ignored_columns == ["id"]


#: What is asked as Alpaca and LLaMA-Factory have it, with the columns that are named.
INSTRUCTIONS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "as it is": ({"instruction": "Q", "input": "more"}, {}),
    "named": ({"instruction": "Q", "input": "more"}, {"prompt": "instruction"}),
    "with other names": ({"ask": "Q", "beside": "more"}, {"prompt": "ask", "input": "beside"}),
}


@pytest.mark.parametrize("case", INSTRUCTIONS)
def test_the_input_of_an_instruction_is_part_of_the_prompt(case: str, tmp_path: Path) -> None:
    asked, columns = INSTRUCTIONS[case]
    (tmp_path / "kto").mkdir()

    pairs = prepare(tmp_path, {**asked, "chosen": "good", "rejected": "bad"}, **DPO, dataset__columns=columns)
    labelled = [{**asked, "completion": "good", "tag": True}, {**asked, "completion": "bad", "tag": False}]
    answers = prepare(tmp_path / "kto", *labelled, **KTO, dataset__columns={**columns, "label": "tag"})

    for made in (pairs, answers):
        assert "user\nQ\n\nmore<|im_end|>" in text(made.rows()[0]["input_ids"])
        assert made.profile.ignored_columns == []


def test_only_the_answer_behind_the_prompt_counts(tmp_path: Path) -> None:
    # The prompt holds an answer of its own, in the form of messages and in that of whole conversations
    earlier = [QUESTION, answer("A"), {"role": "user", "content": "R"}]
    apart = {"prompt": earlier, "chosen": [answer("good")], "rejected": [answer("bad")]}
    whole = {"chosen": [*earlier, answer("good")], "rejected": [*earlier, answer("bad")]}
    for number, row in enumerate((apart, whole)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (found,) = prepare(folder, row, **DPO).rows()
        # It is shown to the model in both copies, and learned in neither
        assert [counts for _, counts in copies(found)] == ["good<|im_end|>", "bad<|im_end|>"]
        assert all("A<|im_end|>" in shown for shown, _ in copies(found))


def test_a_system_prompt_stands_before_both_copies(tmp_path: Path) -> None:
    rows = [PAIR, {**PAIR, "prompt": "R", "system": "Mine."}]

    found = prepare(tmp_path, *rows, **DPO, dataset__systemPrompt="Be kind.").rows()

    assert [[shown.count("Be kind.") for shown, _ in copies(row)] for row in found] == [[1, 1], [0, 0]]
    assert all("Mine." in shown for shown, _ in copies(found[1]))


def test_a_label_says_whether_an_answer_is_wanted(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Q", "completion": "good", "label": True},
        {"prompt": [QUESTION], "completion": [answer("bad")], "label": False},
    ]

    result = prepare(tmp_path, *rows, **KTO)

    assert [row["desirable"] for row in result.rows()] == [True, False]
    counts = [[t for t, c in zip(row["input_ids"], row["targets"], strict=True) if c] for row in result.rows()]
    assert [text(ids) for ids in counts] == ["good<|im_end|>", "bad<|im_end|>"]
    assert result.profile.format == "unpaired-preference (columns prompt, completion, label)"


def test_parquet_gives_labels_and_messages_with_keys_of_other_rows_as_null(tmp_path: Path) -> None:
    turns = [[{"role": "assistant", "content": "good", "name": None}], [{"role": "assistant", "content": "bad"}]]
    table = pa.table({"prompt": ["Q", "R"], "completion": turns, "label": [True, False]})

    result = run(tmp_path, [data_file(tmp_path, "a.parquet", parquet(table))], **KTO)

    assert [row["desirable"] for row in result.rows()] == [True, False]


def test_a_pair_is_known_by_all_it_says_and_split_by_its_prompt(tmp_path: Path) -> None:
    # Of each prompt there are several pairs, one of them twice
    rows = [
        {"prompt": f"Q{number}", "chosen": chosen, "rejected": rejected}
        for number in range(40)
        for chosen, rejected in (("a", "b"), ("a", "c"), ("c", "a"), ("a", " b"))
    ]
    result = prepare(tmp_path, *rows, **DPO, dataset__split={"validation": 0.2, "test": 0.2})
    # The repeated pair is left out, the others are not
    assert result.profile.duplicate_rows == 40
    assert sum(result.profile.rows.values()) == 120
    # No prompt lies in two splits
    prompts = [
        {copies(row)[0][0].split("Q")[1].split("<")[0] for row in result.rows(name)}
        for name in (prepared.TRAIN, prepared.VALIDATION, prepared.TEST)
    ]
    assert all(prompts)
    assert sum(len(of_split) for of_split in prompts) == 40


def test_test_rows_ask_their_prompt_and_expect_the_chosen_answer(tmp_path: Path) -> None:
    test = data_file(tmp_path, "t.jsonl", lines([{**PAIR, "prompt": "T"}]))

    run(tmp_path, [data_file(tmp_path, "a.jsonl", lines([PAIR]))], test=[test], **DPO)

    (row,) = Result(None, tmp_path / "out").rows(prepared.TEST)  # type: ignore[arg-type]
    assert text(row["prompt_ids"]) == "<|im_start|>user\nT<|im_end|>\n<|im_start|>assistant\n"
    assert row["reference"] == "good"
    assert [counts for _, counts in copies(row)] == ["good<|im_end|>", "bad<|im_end|>"]


def test_tools_and_reasoning_are_shown_as_in_a_chat(tmp_path: Path) -> None:
    # One answer calls the tool with another argument than the other, in both forms that offer tools
    good, bad = answer("", tool_calls=[call()]), answer("", tool_calls=[call({"city": "Rome"})])
    question = {"role": "user", "content": "Weather in Oslo?"}
    ours = {"prompt": [question], "chosen": [good], "rejected": [bad], "tools": TOOLS}
    hosted = {
        "input": {"messages": [question], "tools": TOOLS},
        "preferred_output": [good],
        "non_preferred_output": [bad],
    }
    found = [prepared_with(tmp_path / str(n), "qwen3", [row], **DPO)[1] for n, row in enumerate((ours, hosted))]
    assert found[0] == found[1]
    assert found[0][0]["rejected_from"] > 100  # the tools are written into the prompt


def test_a_call_with_its_result_may_belong_to_an_answer(tmp_path: Path) -> None:
    # The same call gave another result in each conversation, so the answers differ from the call on
    question = {"role": "user", "content": "Weather in Oslo?"}
    begin = [question, answer("", tool_calls=[call()])]
    row = {
        "chosen": [*begin, result("sun"), answer("Sunny.")],
        "rejected": [*begin, result("rain"), answer("Wet.")],
        "tools": TOOLS,
    }
    profile, (found,) = prepared_with(tmp_path, "llama3_1", [row], **DPO)
    assert profile.answers.trained == 4
    assert 0 < found["rejected_from"] < found["length"]


def test_the_report_is_told_how_long_answers_are(tmp_path: Path) -> None:
    rows = [{"prompt": f"Q{n}", "chosen": "a " * 20, "rejected": "b"} for n in range(4)]

    found = prepare(tmp_path, *rows, **DPO).profile.preferences

    assert found is not None
    assert (found.chosen_rows, found.rejected_rows) == (4, 4)
    assert found.chosen_tokens > 3 * found.rejected_tokens
    assert found.most_targets * 4 == found.chosen_tokens + found.rejected_tokens
    assert found.longest_sequence < found.most_targets + 20


def test_rows_without_method_keep_the_columns_that_they_had(tmp_path: Path) -> None:
    (row,) = prepare(tmp_path, chat("Q", "A")).rows()
    assert set(row) == {"input_ids", "targets", "length"}


CONTRADICTIONS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "pairs": (DPO, PAIR, {"prompt": "Q", "chosen": "bad", "rejected": "good "}),
    "labels": (
        KTO,
        {"prompt": "Q", "completion": "good", "label": True},
        {"prompt": "Q", "completion": "good", "label": False},
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_rows_that_say_the_opposite_of_each_other_are_counted(case: str, tmp_path: Path) -> None:
    method, row, opposite = CONTRADICTIONS[case]
    other = row | {"prompt": "R"}

    profile = prepare(tmp_path, row, other, opposite, **method).profile

    assert profile.rows["train"] == 3
    assert profile.contradictions == 1
    assert profile.contradiction_examples == ["a.jsonl:3 and a.jsonl:1"]
