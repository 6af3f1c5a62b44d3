"""What is kept of each step."""

from __future__ import annotations

from itertools import islice

from lora_trainer.train import history


def test_the_history_has_one_entry_a_step_and_the_last_figures_count() -> None:
    log = [
        {"step": 1, "loss": 3.0, "epoch": 0.1},
        {"step": 2, "loss": 2.0},
        {"step": 2, "eval_loss": 2.5},
        {"step": 2, "loss": 1.9},
        {"step": 2, "train_runtime": 5.0},
    ]
    assert history.by_step(log) == [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 1.9, "eval_loss": 2.5}]
    assert history.last(history.by_step(log), "eval_loss") == 2.5
    assert history.at(history.by_step(log), 2, "eval_loss") == 2.5
    assert history.at(history.by_step(log), 1, "eval_loss") is None
    assert [point.step for point in islice(history.curves(history.by_step(log), 2).train_loss, 5)] == [1, 2]
