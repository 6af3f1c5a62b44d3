"""Judging answers, and the limits an adapter must reach."""

from __future__ import annotations

import pytest

from lora_contract.finetune.training import GateSpec
from lora_contract.status import ToolCallsStatus
from lora_trainer.evaluation.answers import AnswerScores, gate_failure, length_ratio, score


def test_plain_answers_are_compared_without_white_space_at_their_ends() -> None:
    assert score([" yes\n", "no"], ["yes", "yes"]) == AnswerScores(0.5, None, None)


def test_no_answers_give_no_scores() -> None:
    assert score([], []) is None


def test_json_answers_count_by_right_fields() -> None:
    scores = score(
        ['{"a": 1, "b": 2}', '{"a": 1}', "not json", '{"a": 1, "b": 3, "c": 4}'],
        ['{"b": 2, "a": 1}'] * 4,
    )
    assert scores is not None
    assert scores.json_valid == 0.75
    assert scores.json_fields == pytest.approx((1 + 1 / 2 + 0 + 1 / 3) / 4)


def test_references_that_are_not_all_json_objects_give_no_json_scores() -> None:
    scores = score(["{}", "1"], ["{}", "1"])
    assert scores is not None
    assert scores.json_valid is None


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        (GateSpec(max_loss_ratio=0.9), "above gate.maxLossRatio 0.9"),
        (GateSpec(max_loss_ratio=1.0), None),
        (GateSpec(min_exact_match=0.6), "below gate.minExactMatch 0.6"),
        (GateSpec(min_exact_match=0.5), None),
        (GateSpec(min_json_fields=0.9), "below gate.minJsonFields 0.9"),
        (GateSpec(min_tool_calls=0.8), "right tool calls 0.750 is below gate.minToolCalls 0.8"),
        (GateSpec(min_tool_calls=0.75), None),
        (GateSpec(max_forgetting_ratio=1.1), "above gate.maxForgettingRatio 1.1"),
        (GateSpec(max_forgetting_ratio=1.2), None),
        (GateSpec(), None),
    ],
)
def test_the_gate_names_the_limit_that_was_missed(gate: GateSpec, words: str | None) -> None:
    scores = AnswerScores(0.5, 1.0, 0.8, ToolCallsStatus(rows=4, right_rows=3))
    failed = gate_failure(gate, test_loss=0.95, base_test_loss=1.0, scores=scores, forgetting_ratio=1.15)
    assert (failed is None) == (words is None)
    assert (words or "") in (failed or "")


@pytest.mark.parametrize("loss", [None, float("nan")])
def test_a_gate_that_cannot_be_checked_is_not_passed(loss: float | None) -> None:
    assert gate_failure(GateSpec(max_loss_ratio=2), test_loss=loss, base_test_loss=1.0, scores=None)
    assert gate_failure(GateSpec(min_json_fields=0.1), test_loss=1.0, base_test_loss=1.0, scores=None)
    without_tools = AnswerScores(1.0, 1.0, 1.0)
    assert gate_failure(GateSpec(min_tool_calls=0.1), test_loss=1.0, base_test_loss=1.0, scores=without_tools)
    assert gate_failure(
        GateSpec(max_forgetting_ratio=9), test_loss=1.0, base_test_loss=1.0, scores=None, forgetting_ratio=loss
    )


def test_the_length_of_answers_is_told_by_that_of_references_without_what_is_thought() -> None:
    assert length_ratio(["four", "no"], ["twelve", "one two three"]) == 6 / 19
    assert length_ratio(["something"], [" "]) is None
