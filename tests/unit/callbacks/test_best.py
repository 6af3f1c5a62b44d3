"""The best adapter of a run, and when to stop."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import LoraSpec
from lora_contract.finetune.training import EarlyStoppingSpec
from lora_trainer.callbacks.best import BestAdapter, adapter_tensors
from lora_trainer.errors import TrainerError
from lora_trainer.model.adapter import attach
from support.tiny_models import tiny


def evaluate(best: BestAdapter, model: Any, losses: list[float]) -> list[bool]:
    """Evaluations at steps 5, 10, ...; the adapter's first weight is set to the step. Returns who asked to stop."""
    stops = []
    for index, loss in enumerate(losses):
        step = 5 * (index + 1)
        with torch.no_grad():
            next(p for p in model.parameters() if p.requires_grad).fill_(step)
        control = SimpleNamespace(should_training_stop=False, should_save=False)
        best.on_evaluate(
            None,
            SimpleNamespace(global_step=step),
            control,
            {"eval_loss": loss},
            model,  # type: ignore[arg-type]
        )
        stops.append(control.should_training_stop)
    return stops


def test_the_best_adapter_is_kept_also_between_two_checkpoints(tmp_path: Path) -> None:
    # Evaluations of which the first is the best, and no checkpoint at its step
    model = attach(tiny("llama"), LoraSpec(r=4)).model
    best = BestAdapter(tmp_path, None)
    evaluate(best, model, [1.0, 3.0, 2.5, 2.0])
    # The best is restored
    assert best.restore(model)
    # It is that of the first evaluation
    assert (best.state.loss, best.state.step) == (1.0, 5)
    assert next(p for p in model.parameters() if p.requires_grad).flatten()[0] == 5


def test_patience_counts_on_after_a_resume(tmp_path: Path) -> None:
    model = attach(tiny("llama"), LoraSpec(r=4)).model
    first = BestAdapter(tmp_path / "a", EarlyStoppingSpec(patience=3, min_delta=0.1))
    # Two evaluations without enough improvement, the second of them better by less than minDelta
    assert evaluate(first, model, [2.0, 2.1, 1.95]) == [False, False, False]
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    first.save(checkpoint)
    # Another process goes on
    second = BestAdapter(tmp_path / "b", first.early_stopping)
    second.load(checkpoint)
    # One more ends the run, and the best adapter is the truly lowest
    assert evaluate(second, model, [1.96]) == [True]
    assert second.state.finished
    assert (second.state.loss, second.state.step) == (1.95, 15)
    assert second.restore(model)


def test_an_evaluation_that_is_not_a_number_ends_the_run(tmp_path: Path) -> None:
    model = attach(tiny("llama"), LoraSpec(r=4)).model
    with pytest.raises(TrainerError) as caught:
        evaluate(BestAdapter(tmp_path, None), model, [float("nan")])
    assert caught.value.exit_code is ExitCode.LOSS_NOT_FINITE


def test_without_an_evaluation_the_last_adapter_stays(tmp_path: Path) -> None:
    model = attach(tiny("llama"), LoraSpec(r=4)).model
    before = adapter_tensors(model)
    assert not BestAdapter(tmp_path, None).restore(model)
    assert all(torch.equal(before[name], value) for name, value in adapter_tensors(model).items())
