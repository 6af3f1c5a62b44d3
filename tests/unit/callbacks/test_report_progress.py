"""What a step took is kept with its loss: seconds, tokens, memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from lora_trainer.callbacks import report_progress
from lora_trainer.callbacks.best import BestAdapter
from lora_trainer.callbacks.report_progress import ReportProgress


class Training:
    """A training whose clock and tokens the test moves."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, *, from_step: int = 0) -> None:
        self.now, self.tokens = 100.0, 0
        patch.setattr(report_progress.time, "monotonic", lambda: self.now)
        self.state = TrainerState(global_step=from_step, max_steps=20)
        self.arguments: Any = TrainingArguments(output_dir=str(folder), report_to=[], use_cpu=True)
        self.callback = ReportProgress(None, BestAdapter(folder, None), lambda: self.tokens, lambda _: None)
        self.callback.on_train_begin(self.arguments, self.state, TrainerControl())

    def step(self, *, seconds: float, tokens: int, pause: float = 0.0) -> None:
        self.callback.on_step_begin(self.arguments, self.state, TrainerControl())
        self.now += seconds
        self.tokens += tokens
        self.state.global_step += 1
        self.callback.on_step_end(self.arguments, self.state, TrainerControl())
        self.now += pause

    def logs(self, **figures: float) -> dict[str, Any]:
        self.state.log_history.append({"step": self.state.global_step, **figures})
        self.callback.on_log(self.arguments, self.state, TrainerControl(), logs=figures)
        return self.state.log_history[-1]


def test_a_step_is_told_without_the_evaluation_that_follows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(tmp_path, monkeypatch)
    training.step(seconds=2.0, tokens=500, pause=60)
    entry = training.logs(loss=3.0)
    assert (entry["seconds"], entry["tokens"]) == (2.0, 500)
    assert entry["peak_memory_bytes"] > 1 << 20
    assert "seconds" not in training.logs(eval_loss=2.5)

    training.step(seconds=1.0, tokens=300)
    assert training.logs(loss=2.0)["seconds"] == 1.0


def test_where_not_every_step_is_told_it_is_the_mean_of_those_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process that goes on from step 10 and tells of every fourth step
    training = Training(tmp_path, monkeypatch, from_step=10)
    for seconds in (1.0, 2.0, 3.0, 4.0):
        training.step(seconds=seconds, tokens=100)

    entry = training.logs(loss=1.0)
    assert (entry["seconds"], entry["tokens"]) == (2.5, 100)
