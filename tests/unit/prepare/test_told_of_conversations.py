"""What plan, status and warnings say of conversations that became several rows, and of answers without reasoning."""

from __future__ import annotations

import json
from pathlib import Path

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
