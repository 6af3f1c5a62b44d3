"""A loss that is no number is blamed on what can have caused it."""

from __future__ import annotations

from lora_contract.exit_codes import ExitCode
from lora_trainer.train.trainer import not_finite


def test_the_first_loss_is_not_blamed_on_the_learning_rate() -> None:
    error = not_finite("loss", 1)
    assert error.exit_code is ExitCode.LOSS_NOT_FINITE
    assert error.param == "spec.model.id"
    assert "files of the model" in str(error.hint)


def test_a_later_loss_and_any_gradient_are() -> None:
    for what, step in (("loss", 2), ("gradient", 1)):
        assert not_finite(what, step).param == "spec.training.learningRate"
