"""What is kept of each step."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

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


def test_a_line_says_what_a_step_took() -> None:
    log = [{"step": 4, "loss": 3.0, "seconds": 0.5, "tokens": 900, "peak_memory_bytes": 1 << 30, "total_flos": 1.0}]

    assert history.by_step(log) == [
        {"step": 4, "loss": 3.0, "seconds": 0.5, "tokens": 900, "peak_memory_bytes": 1 << 30}
    ]


def test_the_final_figures_are_numbers(tmp_path: Path) -> None:
    sources = [{"name": "1e3", "evalLoss": "0.5"}]
    history.write_metrics(tmp_path / "metrics.jsonl", [], {"testLoss": "0.00972377", "bestStep": 4, "x": None,
                                                           "sources": sources})  # fmt: skip

    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "final": {"testLoss": 0.00972377, "bestStep": 4, "sources": [{"name": "1e3", "evalLoss": 0.5}]}
    }
