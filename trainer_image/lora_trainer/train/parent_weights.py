"""The weights of the parent: what training begins with, and what the trained adapter is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor

from lora_contract import spec_paths
from lora_contract.finetune.training import GateSpec
from lora_trainer.callbacks.best import adapter_tensors
from lora_trainer.errors import bad_config
from lora_trainer.objective import Measured

Weights = Mapping[str, Tensor]


def load(path: Path) -> Weights:
    """Read the weights of a published adapter, in the precision in which they are published."""
    return load_file(path)


def fill(model: PeftModel, weights: Weights) -> None:
    """Give these values to the adapter of a model.

    Raises:
        TrainerError: 64, they are of another adapter; prepare, which knows the model by its files, did not see it.
    """
    own = adapter_tensors(model)
    odd = [name for name, tensor in own.items() if name not in weights or weights[name].shape != tensor.shape]
    odd += sorted(weights.keys() - own.keys())
    if odd:
        raise bad_config(
            f"the adapter to go on from does not fit the model: {odd[0]} is in one of them only, or of another shape",
            param=spec_paths.FROM,
            hint="name an adapter of this base model with the same lora.targetModules",
        )
    set_peft_model_state_dict(model, dict(weights))


@contextmanager
def replaced(model: PeftModel, weights: Weights) -> Iterator[None]:
    """Let a model compute with other weights of its adapter for a while."""
    own = {name: tensor.clone() for name, tensor in adapter_tensors(model).items()}  # on the CPU they are the model's
    fill(model, weights)
    try:
        yield
    finally:
        fill(model, own)


def gate_failure(gate: GateSpec, test: Measured | None, parent: Measured | None) -> str | None:
    """Say how the adapter missed the limit beside its parent; None: it reached it, or there is none."""
    limit = gate.max_loss_ratio_to_parent
    if limit is None:
        return None
    if test is None or parent is None or not parent.loss:
        return "gate.maxLossRatioToParent cannot be checked: parent or adapter were not measured on test rows"
    ratio = test.loss / parent.loss
    if ratio <= limit:
        return None
    return (
        f"test loss {test.loss:.4f} is {ratio:.3f} of the parent's {parent.loss:.4f}, above gate.maxLossRatioToParent"
        f" {limit:g}"
    )
