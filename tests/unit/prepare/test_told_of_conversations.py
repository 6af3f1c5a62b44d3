"""What plan, status and warnings say of conversations that became several rows, and of answers without reasoning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_contract.status import PlanStatus
from lora_operator.core.status.conclude import plan_in_words
from support.chat_models import REASONING
from support.chat_templates import save_model_with
from support.prepare_orders import place
from support.prepared_data import chat, lines


def test_rows_conversations_and_what_the_repetition_costs_are_told(tmp_path: Path) -> None:
    # A template that leaves out the think block of earlier turns
    save_model_with(tmp_path / "model", REASONING)
    (tmp_path / "rows.jsonl").write_bytes(lines(chat(f"Q {n}", "A", "R", "B") for n in range(10)))

    report = place(tmp_path, dataset__split={"validation": 0, "test": 0}).prepare()

    plan = report.plan
    assert plan is not None
    assert plan.answers is not None
    assert (plan.rows, plan.conversations, plan.answers.trained, plan.answers.without_reasoning) == (20, 10, 20, 20)
    assert 0 < plan.unrolling_tokens < plan.tokens / 2
    assert plan_in_words(plan).startswith("20 rows of 10 conversations to train on")
    assert f"({plan.unrolling_tokens} of them repeat earlier turns)" in plan_in_words(plan)
    assert any(warning.startswith("answers without reasoning: 20 of 20;") for warning in report.warnings)
    assert PlanStatus.model_validate_json(json.dumps(plan.dump())) == plan


def test_nothing_is_told_where_each_conversation_is_one_row(tmp_path: Path) -> None:
    report = place(tmp_path, training={"epochs": 2, "effectiveBatchSize": 8, "evalSteps": 4}).prepare()

    assert report.plan is not None
    assert report.plan.unrolling_tokens == 0
    assert "conversations" not in plan_in_words(report.plan)
    assert report.warnings == []


#: A text that was written out for another chat template, and the mark that shows it.
MARKED = {
    "Llama 3": ("Q<|eot_id|>", "<|eot_id|>"),
    "Llama 2": ("[INST] Q [/INST]", "[INST]"),
    "Gemma": ("<start_of_turn>user\nQ", "<start_of_turn>"),
    "Alpaca": ("Below is a task.\n\n### Instruction:\nQ", "### Instruction:"),
    "HH-RLHF": ("\n\nHuman: Q\n\nAssistant:", "Human:"),
}


@pytest.mark.parametrize("case", MARKED)
def test_texts_that_another_chat_template_wrote_are_told_with_their_mark_and_place(case: str, tmp_path: Path) -> None:
    text, mark = MARKED[case]
    (tmp_path / "rows.jsonl").write_bytes(lines([chat("Good", "A"), *(chat(f"{text}{n}", "A") for n in range(9))]))

    (warning,) = [each for each in place(tmp_path).prepare().warnings if "marks" in each]

    assert warning.startswith("9 rows have marks of other chat templates in their texts, which are learned as text")
    assert f"(the first: {mark!r} at rows.jsonl:2)" in warning


def test_texts_that_only_speak_of_people_and_headings_are_not_taken_for_written_out(tmp_path: Path) -> None:
    texts = ["### Human rights", "Who is more than Human: you?", "a <| b |> c", "### Response times"]
    (tmp_path / "rows.jsonl").write_bytes(lines(chat(f"{text} {n}", "A") for text in texts for n in range(4)))

    assert not [each for each in place(tmp_path).prepare().warnings if "marks" in each]


#: A column that nothing reads, and what is advised.
UNREAD = {
    "system_prompt": "to put system_prompt before the conversation, rename it to system",
    "reasoning": "reasoning is learned as a key of an answer in messages alone",
    "rejected": "if chosen and rejected are answers to compare, set method: {dpo: {}}",
}


@pytest.mark.parametrize("column", UNREAD)
def test_a_column_with_a_known_purpose_that_is_not_read_is_told_with_advice(column: str, tmp_path: Path) -> None:
    rows = ({**chat(f"Q{n}", "A"), "chosen": "x", column: "y"} for n in range(8))
    (tmp_path / "rows.jsonl").write_bytes(lines(rows))

    (warning,) = [each for each in place(tmp_path).prepare().warnings if "not used" in each]

    assert UNREAD[column] in warning
