"""Preferences from objects to prepared rows, in each shape that a dataset may have, and what else prepare says."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from lora_contract.layout import PLAN, RunLayout
from lora_trainer.command.stage import carry_out
from lora_trainer.data import prepared
from lora_trainer.errors import TrainerError
from support.conversations import answer
from support.prepare_bucket import Bucket
from support.prepared_data import lines

DPO, KTO = {"method": {"dpo": {}}}, {"method": {"kto": {}}}


def question(number: int) -> dict[str, Any]:
    return {"role": "user", "content": f"Question {number}?"}


SHAPES: dict[str, tuple[dict[str, Any], Any, str]] = {
    "texts": (
        DPO,
        lambda n: {"prompt": f"Question {n}?", "chosen": "Yes, please.", "rejected": "No."},
        "preference (columns prompt, chosen, rejected)",
    ),
    "whole conversations": (
        DPO,
        lambda n: {"chosen": [question(n), answer("Yes, please.")], "rejected": [question(n), answer("No.")]},
        "preference (columns chosen, rejected)",
    ),
    "the hosted services": (
        DPO,
        lambda n: {
            "input": {"messages": [question(n)]},
            "preferred_output": [answer("Yes, please.")],
            "non_preferred_output": [answer("No.")],
        },
        "preferred-output (columns input, preferred_output, non_preferred_output)",
    ),
    "labels": (
        KTO,
        lambda n: {"prompt": [question(n // 2)], "completion": "No." if n % 2 else "Yes, please.", "label": n % 2 == 0},
        "unpaired-preference (columns prompt, completion, label)",
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_preferences_lie_where_training_looks_for_them(shape: str, bucket: Bucket) -> None:
    # Sixty rows of preferences as an object
    method, row, words = SHAPES[shape]
    bucket.put("rows.jsonl", lines(row(n) for n in range(60)))
    ordered = bucket.order(method | {"training.epochs": 2, "training.maxSteps": None})
    # They are prepared
    report = carry_out(ordered)
    # The plan says what they are, and how long answers are
    plan = report.plan
    assert plan is not None
    assert plan.format == words
    assert plan.rows + plan.validation_rows + plan.test_rows == 60
    assert plan.preferences is not None
    assert float(plan.preferences.chosen_tokens or 0) > float(plan.preferences.rejected_tokens or 0) > 0
    # The rows of all splits have the column that says what is preferred
    where = RunLayout(ordered.spec.output.uri, str(report.run_id)).prepared.removeprefix(f"s3://{bucket.name}/")
    column = "desirable" if "kto" in str(method) else "rejected_from"
    for name in (prepared.TRAIN, prepared.VALIDATION, prepared.TEST):
        content = bucket.client.get_object(Bucket=bucket.name, Key=f"{where}/{name}")["Body"].read()
        table = pq.read_table(io.BytesIO(content))
        assert table.column(column).null_count == 0
    assert json.loads(bucket.client.get_object(Bucket=bucket.name, Key=f"{where}/{PLAN}")["Body"].read())["preferences"]
    # A second preparation finds them, and says the same
    again = carry_out(ordered)
    assert (again.plan, again.warnings) == (plan, report.warnings)


def test_a_pair_that_says_nothing_ends_the_run_by_its_line(bucket: Bucket) -> None:
    row = SHAPES["texts"][1]
    bucket.put("rows.jsonl", lines([row(1), row(2) | {"rejected": "Yes, please."}]))

    with pytest.raises(TrainerError, match=r"rows\.jsonl, line 2: chosen and rejected are equal") as raised:
        carry_out(bucket.order(DPO))

    assert raised.value.hint == "leave the row out"


def test_a_beta_makes_another_run_of_the_same_rows(bucket: Bucket) -> None:
    bucket.put("rows.jsonl", lines(SHAPES["texts"][1](n) for n in range(20)))
    runs = [carry_out(bucket.order({"method": {"dpo": {"beta": beta}}})) for beta in (0.1, 0.2)]
    assert runs[0].run_id != runs[1].run_id
    assert runs[0].plan == runs[1].plan
