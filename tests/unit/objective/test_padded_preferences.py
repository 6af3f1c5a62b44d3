"""A model whose rows are padded has the losses and gradients of preferences that it has without padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lora_contract.finetune.method import DpoSpec, KtoSpec
from lora_trainer.model.forward import ForwardPass, choose
from lora_trainer.objective.kto import KahnemanTverskyOptimisation
from lora_trainer.objective.preference import DirectPreferenceOptimisation
from lora_trainer.processes.group import Group
from support.compared_rows import ask_reference, completions_file, pairs_file
from support.padded_reference import gradients
from support.tiny_models import adapted

ROWS = 6


def loss_of(objective: Any, path: Path, model: Any, forward_pass: ForwardPass) -> float:
    """Loss of all rows in one pass; the gradients are left in the model."""
    rows = objective.rows(path)
    ask_reference(forward_pass, model, rows)
    batch = objective.collate(forward_pass)([rows[index] for index in range(ROWS)])
    objective.prepare_step(forward_pass, model, [batch], Group())
    loss = objective.loss_sum(forward_pass, model, batch)
    loss.backward()
    return float(loss.detach())


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_padding_changes_nothing(method: str, tmp_path: Path) -> None:
    # The same model twice, with rows behind one another and with padded ones
    path, objective = tmp_path / "train.parquet", _objective(method)
    (pairs_file if method == "dpo" else completions_file)(path, ROWS)
    rows = objective.rows(path)
    free_model, padded_model = adapted("llama"), adapted("llama")
    free, _ = choose(free_model, [rows[0]], pad_token_id=0, autocast=None)
    padded = ForwardPass(False, True, "sdpa", 0, None)
    assert free.padding_free
    # Loss and gradients are the same
    expected = loss_of(objective, path, free_model, free)
    assert loss_of(objective, path, padded_model, padded) == pytest.approx(expected, rel=1e-5)
    wanted = gradients(free_model)
    for name, gradient in gradients(padded_model).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-3, atol=1e-5)


def _objective(method: str) -> Any:
    if method == "dpo":
        return DirectPreferenceOptimisation(DpoSpec(beta=0.5, sft_weight=0.2))
    return KahnemanTverskyOptimisation(KtoSpec(beta=0.5))
