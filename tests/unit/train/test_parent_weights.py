"""The weights of a parent: put into a model, for good or for a while."""

from __future__ import annotations

import pytest
import torch

from lora_contract.exit_codes import ExitCode
from lora_contract.finetune.training import GateSpec
from lora_trainer.callbacks.best import adapter_tensors
from lora_trainer.errors import TrainerError
from lora_trainer.objective import Measured
from lora_trainer.train import parent_weights
from support.tiny_models import adapted


def copied(model: object) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in adapter_tensors(model).items()}  # type: ignore[arg-type]


def test_a_model_gets_its_own_weights_back_to_the_bit() -> None:
    model = adapted("llama")
    own = copied(model)
    other = {name: (tensor + 1).to(torch.bfloat16) for name, tensor in own.items()}

    with parent_weights.replaced(model, other):
        within = copied(model)

    assert all(torch.equal(within[name], tensor.float()) for name, tensor in other.items())
    assert all(torch.equal(tensor, own[name]) for name, tensor in adapter_tensors(model).items())


@pytest.mark.parametrize("fault", ["missing", "extra", "another shape"])
def test_weights_of_another_adapter_are_refused(fault: str) -> None:
    model = adapted("llama")
    weights = copied(model)
    first = next(iter(weights))
    if fault == "another shape":
        weights[first] = weights[first][:-1]
    elif fault == "missing":
        del weights[first]
    else:
        weights[f"{first}.more"] = weights[first]

    with pytest.raises(TrainerError, match="does not fit the model") as raised:
        parent_weights.fill(model, weights)

    assert raised.value.exit_code == ExitCode.BAD_CONFIG
    assert raised.value.param == "spec.from"


@pytest.mark.parametrize(
    ("loss", "says"),
    [(1.0, None), (0.9, None), (1.1, "test loss 1.1000 is 1.100 of the parent's 1.0000, above gate.maxLossRatioTo")],
)
def test_the_gate_compares_with_the_parent(loss: float, says: str | None) -> None:
    failed = parent_weights.gate_failure(GateSpec(max_loss_ratio_to_parent=1), Measured(loss), Measured(1.0))
    assert (failed is None) == (says is None)
    assert (says or "") in (failed or "")


def test_without_a_limit_there_is_nothing_to_miss() -> None:
    assert parent_weights.gate_failure(GateSpec(), Measured(2.0), Measured(1.0)) is None


def test_what_was_not_measured_misses_the_gate() -> None:
    failed = parent_weights.gate_failure(GateSpec(max_loss_ratio_to_parent=1), Measured(1.0), None)
    assert "cannot be checked" in (failed or "")
