"""Proof that training changed the model: an adapter that answers like its base is a mistake, not a result."""

from __future__ import annotations

import torch
from peft import PeftModel

from lora_contract import spec_paths
from lora_contract.counts import counted
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import TrainingSpec
from lora_trainer.batches.batch import Row
from lora_trainer.callbacks.best import adapter_tensors
from lora_trainer.errors import TrainerError
from lora_trainer.model.forward import ForwardPass
from lora_trainer.train.parent_weights import Weights, replaced
from lora_trainer.train.trainer import not_finite


def check(
    model: PeftModel,
    forward_pass: ForwardPass,
    rows: list[Row],
    *,
    training: TrainingSpec,
    steps: int,
    parent: Weights | None = None,
) -> None:
    """Compare the trained adapter with the one it started as: its parent, or a fresh one, whose B matrices are zero.

    `rows`: the rows on which both are compared; `steps`: optimiser steps done.

    Raises:
        TrainerError: 81, the adapter holds values that are not finite; 85, it is what it started as, or changes not
            one logit of the rows.
    """
    tensors = adapter_tensors(model)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise not_finite("adapter", steps)
    if parent is None and not any(bool(tensor.any()) for name, tensor in tensors.items() if "lora_B" in name):
        raise _nothing_learned(
            "base model; its B matrices are zero, as they were before the first step", training, steps
        )
    with torch.no_grad():
        adapted = forward_pass.logits(model.eval(), rows)
        with model.disable_adapter() if parent is None else replaced(model, parent):
            before = forward_pass.logits(model, rows)
    if before.numel() and torch.equal(adapted, before):
        whom = "base model" if parent is None else "adapter that it goes on from"
        raise _nothing_learned(f"{whom}; its changes are too small to change any answer", training, steps)


def _nothing_learned(like: str, training: TrainingSpec, steps: int) -> TrainerError:
    return TrainerError(
        ExitCode.NOTHING_LEARNED,
        f"nothing was learned: after {counted(steps, 'step')} the adapter answers exactly like the {like}",
        param=spec_paths.TRAINING_LEARNING_RATE,
        hint=f"Raise training.learningRate (it is {training.learning_rate:g}; 0.0002 is usual), or train more steps.",
    )
