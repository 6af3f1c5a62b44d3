"""Progress reports: those of the stock callback are read, and no number in them can harm the operator."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lora_contract.progress import MAX_BODY_BYTES, METRIC_STEP, METRIC_TRAIN_LOSS, ProgressReport

#: As KubeflowCallback of transformers writes it.
STOCK = {
    "trainerStatus": {
        "lastUpdatedTime": "2026-01-31T12:00:00+00:00",
        "progressPercentage": 42,
        "estimatedRemainingSeconds": 75,
        "metrics": [{"name": "loss", "value": "1.25"}, {"name": "current_step", "value": "42"}],
    }
}


def status_with(value: object) -> ProgressReport:
    body = {"trainerStatus": {"metrics": [{"name": METRIC_STEP, "value": value}]}}
    return ProgressReport.model_validate_json(json.dumps(body))


def test_a_report_of_the_stock_callback_is_read() -> None:
    status = ProgressReport.model_validate_json(json.dumps(STOCK)).trainer_status
    assert (status.progress_percentage, status.estimated_remaining_seconds) == (42, 75)
    assert status.number(METRIC_TRAIN_LOSS) == 1.25


def test_an_empty_status_is_a_sign_of_life() -> None:
    assert ProgressReport.model_validate_json('{"trainerStatus": {}}').trainer_status.metrics == []


def test_the_latest_value_of_a_metric_counts() -> None:
    metrics = [{"name": METRIC_STEP, "value": str(step)} for step in (1, 2, 3)]
    report = ProgressReport.model_validate({"trainerStatus": {"metrics": metrics}})
    assert report.trainer_status.number(METRIC_STEP) == 3


@pytest.mark.parametrize("value", ["nan", "-inf", "1e999", "1e300", "many", "", "9" * 400])
def test_what_is_no_ordinary_number_is_none(value: str) -> None:
    assert status_with(value).trainer_status.number(METRIC_STEP) is None


@given(st.text(max_size=100) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60))
def test_every_number_can_be_made_whole(value: str | float) -> None:
    number = status_with(value).trainer_status.number(METRIC_STEP)
    assert number is None or abs(int(number)) <= 2**53


@pytest.mark.parametrize(
    "status",
    [
        {"progressPercentage": 101},
        {"progressPercentage": -1},
        {"estimatedRemainingSeconds": 10**30},
        {"metrics": [{"name": "a" * 300, "value": "1"}]},
        {"metrics": [{"value": "1"}]},
        {"metrics": [{"name": "loss", "value": None}]},
    ],
)
def test_what_is_out_of_bounds_is_refused(status: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ProgressReport.model_validate_json(json.dumps({"trainerStatus": status}))


def test_a_report_with_many_metrics_fits_a_request() -> None:
    metrics = [{"name": f"eval_metric_{number}", "value": "0.123456789"} for number in range(150)]
    body = json.dumps({"trainerStatus": {"metrics": metrics}})
    assert len(body) <= MAX_BODY_BYTES
    ProgressReport.model_validate_json(body)
