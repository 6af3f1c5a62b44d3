"""What is known of earlier processes of a run."""

from __future__ import annotations

from lora_trainer.ledger.attempts import AttemptRecord, trained_seconds


def test_training_time_is_that_of_all_attempts_and_nothing_else() -> None:
    hours = [("08:00", "09:00"), ("11:00", "11:30")]
    records = [
        AttemptRecord(claim=number, start_time=f"2026-03-14T{begin}:00Z", last_time=f"2026-03-14T{end}:00Z")
        for number, (begin, end) in enumerate(hours)
    ]
    assert trained_seconds(records) == 90 * 60
