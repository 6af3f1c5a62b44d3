"""What plan and warnings say of preferences: lengths of answers, labels out of balance, and the memory of a pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lora_contract.report import Report
from lora_trainer.errors import TrainerError
from support.chat_models import save_model
from support.prepare_orders import place
from support.prepared_data import lines
from support.specs import REMOVED

NOTHING_HELD_OUT: dict[str, Any] = {"dataset__split": {"validation": 0, "test": 0}}


def pairs(folder: Path, chosen: str, rejected: str, **changes: Any) -> Report:
    rows = ({"prompt": f"Q{n}", "chosen": chosen, "rejected": rejected} for n in range(8))
    (folder / "rows.jsonl").write_bytes(lines(rows))
    return place(folder, **{"method": {"dpo": {}}, **NOTHING_HELD_OUT, **changes}).prepare()


def labelled(folder: Path, wanted: int, unwanted: int, **kto: float) -> Report:
    rows = ({"prompt": f"Q{n}", "completion": "abc", "label": n < wanted} for n in range(wanted + unwanted))
    (folder / "rows.jsonl").write_bytes(lines(rows))
    return place(folder, method={"kto": kto}, **NOTHING_HELD_OUT).prepare()


def test_the_plan_says_how_long_answers_are(tmp_path: Path) -> None:
    plan = pairs(tmp_path, "a b c", "d").plan
    assert plan is not None
    assert plan.preferences is not None
    assert plan.preferences.dump() == {
        "chosenRows": 8, "rejectedRows": 8, "chosenTokens": "6.0", "rejectedTokens": "2.0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "rejected", "says"),
    [
        (
            "a b c d",
            "x",
            "preferred answers have 7 tokens on average, rejected ones 2: what is learned may be to answer longer",
        ),
        ("x", "a b c d", "rejected ones 7: what is learned may be to answer shorter"),
    ],
)
def test_lengths_that_are_far_apart_are_warned_of(chosen: str, rejected: str, says: str, tmp_path: Path) -> None:
    (warning,) = [each for each in pairs(tmp_path, chosen, rejected).warnings if "on average" in each]
    assert says in warning
    assert "method.dpo.lengthNormalised: true" in warning


def test_lengths_that_are_alike_are_not(tmp_path: Path) -> None:
    assert not any("on average" in each for each in pairs(tmp_path, "a b", "c d").warnings)


def test_labels_out_of_balance_are_told_with_the_weight_that_balances_them(tmp_path: Path) -> None:
    # Six wanted answers and two unwanted ones
    (warning,) = [each for each in labelled(tmp_path, 6, 2).warnings if "unwanted" in each]
    assert "wanted answers: 6, unwanted: 2" in warning
    assert "method.kto.undesirableWeight: 3 would" in warning
    # With that weight nothing is said
    assert not any("unwanted" in each for each in labelled(tmp_path, 6, 2, undesirableWeight=3).warnings)


def test_memory_is_that_of_both_answers_and_of_logits_where_there_is_a_target(tmp_path: Path) -> None:
    plan = pairs(tmp_path, "a b c", "d").plan
    assert plan is not None
    assert plan.memory is not None
    # Both copies pass together
    assert plan.memory.row_tokens == plan.longest_row == plan.tokens // plan.rows
    # Six tokens of one answer and two of the other: logits in 16 bit, then in float32 with their softmax
    assert plan.memory.logit_bytes % (8 * (2 + 8)) == 0
    assert plan.memory.logit_bytes // (8 * (2 + 8)) > 100


def test_only_one_copy_has_to_fit_the_context_of_the_model(tmp_path: Path) -> None:
    # A model for 64 positions, and pairs of 2 x 40 tokens
    save_model(tmp_path / "model", max_position_embeddings=64)
    report = pairs(tmp_path, "a" * 20, "b" * 20)
    assert report.plan is not None
    assert report.plan.memory is not None
    assert report.plan.memory.row_tokens > 64
    assert not any("was made for" in each for each in report.warnings)
    # One copy that is longer than that is told of
    (tmp_path / "other").mkdir()
    save_model(tmp_path / "other" / "model", max_position_embeddings=16)
    assert any("more than the 16" in each for each in pairs(tmp_path / "other", "a" * 20, "b").warnings)


def test_a_gate_on_preferences_needs_a_test_row(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="no row fell into the test split"):
        pairs(
            tmp_path,
            "a",
            "b",
            dataset__split={"validation": 1e-9, "test": 1e-9},
            evaluation__gate={"minPreferenceAccuracy": 0.9},
        )


def test_labels_that_nothing_reads_are_told_with_the_method_that_does(tmp_path: Path) -> None:
    rows = [{"prompt": f"Q{n}", "completion": "abc", "label": n < 4} for n in range(8)]
    (tmp_path / "rows.jsonl").write_bytes(lines(rows))
    warnings = place(tmp_path, **NOTHING_HELD_OUT).prepare().warnings
    assert "columns that are not used: label; if label says which answers are wanted, set method: {kto: {}}" in warnings


def test_sources_may_have_pairs_in_other_forms(tmp_path: Path) -> None:
    # One source has its own names of columns, the other the form of the hosted services
    question = {"role": "user", "content": "Q"}
    hosted = {
        "input": {"messages": [question]},
        "preferred_output": [{"role": "assistant", "content": "a"}],
        "non_preferred_output": [{"role": "assistant", "content": "b"}],
    }
    named = {"question": "R", "better": "a", "worse": "b"}
    for name, row in (("hosted", hosted), ("named", named)):
        (tmp_path / f"{name}.jsonl").write_bytes(lines([row, row]))
    columns = {"prompt": "question", "chosen": "better", "rejected": "worse"}
    sources = [
        {"name": "hosted", "uri": f"file://{tmp_path}/hosted.jsonl"},
        {"name": "named", "uri": f"file://{tmp_path}/named.jsonl", "columns": columns},
    ]
    changes = {"dataset__uri": REMOVED, "dataset__sources": sources, "method": {"dpo": {}}}
    plan = place(tmp_path, **changes, **NOTHING_HELD_OUT).prepare().plan
    # Each gives its pair once, and the plan names both forms
    assert plan is not None
    assert [(source.rows, source.duplicate_rows) for source in plan.sources or ()] == [(1, 1), (1, 1)]
    assert str(plan.format).split("; ") == [
        "preferred-output (columns input, preferred_output, non_preferred_output)",
        "preference (columns question, better, worse)",
    ]
