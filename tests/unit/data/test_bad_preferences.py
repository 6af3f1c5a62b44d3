"""Rows that say nothing of a preference, or not one that can be learned, are refused by their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lora_trainer.errors import TrainerError
from support.bad_files import Bad, assert_refused
from support.conversations import answer, call, prepared_with, result
from support.prepared_data import chat, data_file, lines, run
from support.published_templates import TOOLS

DPO, KTO = {"method": {"dpo": {}}}, {"method": {"kto": {}}}
GOOD = {"prompt": "P", "chosen": "a", "rejected": "b"}
LABELLED = {"prompt": "P", "completion": "a", "label": True}
Q, R = {"role": "user", "content": "Q"}, {"role": "user", "content": "R"}


def pair(message: str, row: dict[str, Any], **changes: Any) -> Bad:
    """A second row that is no pair."""
    return Bad("a.jsonl", lines([GOOD, row]), f"a.jsonl, line 2: {message}", "a.jsonl:2", DPO | changes)


def labelled(message: str, row: dict[str, Any]) -> Bad:
    """A second row that is no answer with a label."""
    return Bad("a.jsonl", lines([LABELLED, row]), f"a.jsonl, line 2: {message}", "a.jsonl:2", KTO)


BAD_ROWS = {
    "texts that look equal": pair(
        "chosen and rejected are equal", {"prompt": "Q", "chosen": "caf\u00e9", "rejected": "cafe\u0301"}
    ),
    "answers that differ in fillers and selectors": pair(
        "chosen and rejected are equal", {"prompt": "Q", "chosen": "go\u3164o\u034fd", "rejected": "good\U000e0100"}
    ),
    "answers that differ in a mark behind what is invisible": pair(
        "chosen and rejected are equal", {"prompt": "Q", "chosen": "e\u200b\u0301", "rejected": "\u00e9"}
    ),
    "answers that differ in what is invisible": pair(
        "chosen and rejected are equal", {"prompt": "Q", "chosen": "go\u200bod\ufe0f", "rejected": "go\u00adod\u2060"}
    ),
    "equal texts": pair("chosen and rejected are equal", {"prompt": "Q", "chosen": "a", "rejected": "a"}),
    "equal conversations": pair(
        "chosen and rejected are equal", {"chosen": [Q, answer("a")], "rejected": [Q, answer("a")]}
    ),
    "other prompts": pair(
        "the prompts of chosen and rejected differ: turn 1", {"chosen": [Q, answer("a")], "rejected": [R, answer("b")]}
    ),
    "another second question": pair(
        "the prompts of chosen and rejected differ: turn 3 is not the same in both, and not an answer (user: 'Q')",
        {"chosen": [Q, answer("x"), Q, answer("a")], "rejected": [Q, answer("x"), R, answer("b")]},
    ),
    "another prompt in its column": pair(
        "the prompt in its own column is not the one",
        {"prompt": "other", "chosen": [Q, answer("a")], "rejected": [Q, answer("b")]},
    ),
    "one conversation goes on": pair(
        "rejected: turn 3 is user, but an answer has turns of assistant and tool alone",
        {"chosen": [Q, answer("a")], "rejected": [Q, answer("a"), R, answer("b")]},
    ),
    "an answer is empty": pair("column 'rejected' is empty", {"prompt": "Q", "chosen": "a", "rejected": " "}),
    "no messages": pair("column 'chosen' is empty", {"prompt": "Q", "chosen": [], "rejected": "b"}),
    "an answer without text": pair(
        "rejected: turn 2 (assistant) is empty", {"prompt": "Q", "chosen": "a", "rejected": [answer("")]}
    ),
    "no prompt before messages": pair(
        "has no prompt, and an answer that does not hold it", {"chosen": [answer("a")], "rejected": [answer("b")]}
    ),
    "no prompt": pair("has no prompt, and an answer that does not hold it", {"chosen": "a", "rejected": "b"}),
    "an answer that ends with a question": pair(
        "chosen: ends with a user turn", {"prompt": [Q], "chosen": [answer("a"), R], "rejected": [answer("b")]}
    ),
    "weights": pair(
        "chosen: turn 2 has weight or train", {"prompt": "Q", "chosen": [answer("a", weight=0.5)], "rejected": "b"}
    ),
    "a column is missing": pair("has no column 'rejected'", {"prompt": "Q", "chosen": "a"}),
    "a result of no call": pair(
        "chosen: turn 2", {"prompt": [Q], "chosen": [result(), answer("a")], "rejected": [answer("b")], "tools": TOOLS}
    ),
    "a call of no tool": pair(
        "rejected: turn 2", {"prompt": [Q], "chosen": "a", "rejected": [answer("", tool_calls=[call()])], "tools": []}
    ),
    "an answer is cut": pair(
        "the rejected answer is cut: with its prompt it has",
        {"prompt": "Q", "chosen": "a", "rejected": "b " * 600},
        training__maxLength=64,
    ),
    "a special token": pair(
        "with the rejected answer: turn 2 (assistant) contains the special token",
        {"prompt": "Q", "chosen": "a", "rejected": "b<|im_end|>"},
    ),
    "a label that is a number": labelled("column 'label' is a number", {"prompt": "Q", "completion": "a", "label": 1}),
    "a label that is a text": labelled("column 'label' is a text", {"prompt": "Q", "completion": "a", "label": "true"}),
    "no label": labelled("has no column 'label'", {"prompt": "Q", "completion": "a"}),
    "a whole conversation": labelled(
        "completion begins with a turn of the user", {"prompt": "Q", "completion": [Q, answer("a")], "label": True}
    ),
}
HOSTED = {"input": {"messages": [Q]}, "preferred_output": [answer("a")], "non_preferred_output": [answer("b")]}
BAD_HOSTED = {
    "input is no object": ({"input": "Q"}, "column 'input' is a text, expected an object with a list of messages"),
    "an unknown key": ({"input": {"messages": [Q], "seed": 3}}, "column 'input' has seed, which would be dropped"),
}
BAD_COLUMNS = {
    "chats": (DPO, chat("Q", "A"), "method dpo needs prompt, chosen and rejected", "leave method out"),
    "chats with labels asked for": (
        KTO,
        chat("Q", "A"),
        "method kto needs prompt, completion and label",
        "leave method",
    ),
    "labels of another name": (
        KTO,
        {"instruction": "Q", "output": "A", "kto_tag": True},
        "method kto needs prompt, completion and label",
        "where kto_tag says what is wanted, name it as dataset.columns.label",
    ),
    "labels of whole conversations": (
        KTO,
        {**chat("Q", "A"), "label": True},
        "method kto needs prompt, completion and label",
        "a whole conversation is written as these two",
    ),
    "labels for pairs": (DPO, LABELLED, "method dpo needs prompt, chosen", "set method: {kto: {}}"),
    "pairs for labels": (KTO, GOOD, "method kto needs prompt, completion and label", "set method: {dpo: {}}"),
    "pairs without a method": ({}, GOOD, "these are preferences", "set method: {dpo: {}}"),
    "the hosted form without a method": ({}, HOSTED, "these are preferences", "set method: {dpo: {}}"),
    "a column of a method": (
        {"dataset__columns": {"chosen": "chosen"}},
        GOOD,
        "dataset.columns.chosen means nothing without method",
        "set method: {dpo: {}}",
    ),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_row_without_a_preference_is_refused_by_its_line(case: str, tmp_path: Path) -> None:
    assert_refused(BAD_ROWS[case], tmp_path)


@pytest.mark.parametrize("case", BAD_HOSTED)
def test_input_of_the_hosted_form_is_checked(case: str, tmp_path: Path) -> None:
    changes, message = BAD_HOSTED[case]
    rows = lines([HOSTED, HOSTED | changes])
    assert_refused(Bad("a.jsonl", rows, f"a.jsonl, line 2: {message}", "a.jsonl:2", DPO), tmp_path)


@pytest.mark.parametrize("case", BAD_COLUMNS)
def test_rows_for_something_else_are_refused_with_what_to_set(case: str, tmp_path: Path) -> None:
    changes, row, message, hint = BAD_COLUMNS[case]
    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [data_file(tmp_path, "a.jsonl", lines([row]))], **changes)
    assert message in raised.value.message
    assert hint in str(raised.value.hint)
    assert str(raised.value.param).startswith("spec.dataset.columns")


def test_answers_that_the_chat_template_writes_alike_are_no_pair(tmp_path: Path) -> None:
    # This template leaves out white space at the end of a turn
    file = data_file(tmp_path, "a.jsonl", lines([GOOD, {"prompt": "Q", "chosen": "a", "rejected": "a "}]))
    with pytest.raises(TrainerError, match=r"line 2: both answers are the same text as the chat template of .* writes"):
        run(tmp_path, [file], family="llama3", **DPO)


def test_an_answer_whose_turns_the_chat_template_rewrites_is_no_one_text(tmp_path: Path) -> None:
    # This template writes an empty think block into an answer alone that stands last
    called = [answer("", tool_calls=[call()]), result(), answer("Wet.")]
    row = {"prompt": "Weather in Oslo?", "chosen": called, "rejected": "Dry.", "tools": TOOLS}
    with pytest.raises(TrainerError, match="line 1: the chosen answer has several turns of the assistant"):
        prepared_with(tmp_path / "whole", "qwen3", [row], **DPO)
    # Of its last turn alone there is one text
    (found,) = prepared_with(tmp_path / "last", "qwen3", [row], **DPO, training__trainOn="last")[1]
    assert found["rejected_from"] < found["length"]


def test_bad_pairs_may_be_left_out(tmp_path: Path) -> None:
    # One pair is equal, one is cut, one is good
    rows = [{**GOOD, "rejected": "a"}, {**GOOD, "chosen": "b " * 600}, GOOD]
    file = data_file(tmp_path, "a.jsonl", lines(rows))

    found = run(tmp_path, [file], **DPO, dataset__onBadRows="Skip", training__maxLength=64)

    assert len(found.rows()) == 1
    assert found.profile.bad_rows == 2
    assert "line 2: the chosen answer is cut" in found.profile.bad_row_examples[1]


def test_a_prompt_of_a_test_file_must_not_be_trained_on(tmp_path: Path) -> None:
    # Other answers to a prompt that is trained on say nothing of what was learned
    train, test = (
        data_file(tmp_path, name, lines([row]))
        for name, row in (("a.jsonl", GOOD), ("t.jsonl", {**GOOD, "chosen": "c"}))
    )
    with pytest.raises(TrainerError, match=r"t\.jsonl, line 1: has the prompt of the row at a\.jsonl:1"):
        run(tmp_path, [train], test=[test], **DPO)


def test_answers_that_are_all_wanted_teach_no_difference(tmp_path: Path) -> None:
    rows = [{**LABELLED, "prompt": f"Q{number}"} for number in range(3)]
    bad = Bad("a.jsonl", lines(rows), "every training row has label true; method kto learns", "spec.dataset.uri", KTO)
    assert_refused(bad, tmp_path)
