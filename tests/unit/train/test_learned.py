"""An adapter that changes nothing is no result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import LoraSpec, QuantizationSpec, TrainingSpec
from lora_trainer.errors import TrainerError
from lora_trainer.model import load
from lora_trainer.model.adapter import attach
from lora_trainer.model.forward import choose
from lora_trainer.model.hardware import Hardware
from lora_trainer.train import learned
from support.tiny_models import ragged_rows, save_tiny

TRAINING = TrainingSpec(max_steps=3, learning_rate=1e-9)


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=str)
def check(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[Any], None]], None]:
    """Checks a fresh adapter after a change of its B matrices."""
    model = attach(
        load.load_base(save_tiny(tmp_path / "model"), QuantizationSpec(), Hardware(torch.device("cpu"), request.param)),
        LoraSpec(r=4, alpha=8, dropout=0),
    ).model
    rows = ragged_rows()
    forward_pass, _ = choose(model, rows, pad_token_id=0, autocast=None)

    def changed(change: Callable[[Any], None]) -> None:
        for tensor in _b_matrices(model):
            change(tensor)
        learned.check(model, forward_pass, rows[:2], training=TRAINING, steps=3)

    return changed


def _b_matrices(model: PeftModel) -> list[torch.Tensor]:
    return [weight.data for name, weight in model.named_parameters() if "lora_B" in name]


def test_an_adapter_as_weak_as_any_is_fine(check: Any) -> None:
    check(lambda tensor: tensor.normal_(std=1e-3))


@pytest.mark.parametrize(
    ("change", "why"), [(lambda tensor: None, "B matrices are zero"), (lambda tensor: tensor.fill_(1e-30), "too small")]
)
def test_one_that_answers_like_the_base_is_refused_with_what_to_do(change: Any, why: str, check: Any) -> None:
    with pytest.raises(TrainerError, match=why) as caught:
        check(change)
    error = caught.value
    assert error.exit_code == ExitCode.NOTHING_LEARNED
    assert "after 3 steps" in error.message
    assert error.param == "spec.training.learningRate"
    assert "it is 1e-09" in (error.hint or "")


def test_one_that_is_not_finite_is_refused(check: Any) -> None:
    with pytest.raises(TrainerError, match="the adapter at step 3 is not finite") as caught:
        check(lambda tensor: tensor.fill_(float("nan")))
    assert caught.value.exit_code == ExitCode.LOSS_NOT_FINITE
