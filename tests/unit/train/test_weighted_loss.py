"""Losses with weights: sum(weight * loss) / sum(weight) over all targets of a step, whatever its micro batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lora_contract.finetune import TrainingSpec
from lora_trainer.batches.batch import Row, collate_padded
from lora_trainer.batches.prepared_rows import Rows
from lora_trainer.data.prepared import ROW_SCHEMA, WEIGHTS
from lora_trainer.model.forward import ForwardPass, choose
from lora_trainer.model.hardware import Hardware
from lora_trainer.model.loss import loss_sum_and_correct
from lora_trainer.objective.supervised import SupervisedFineTuning
from lora_trainer.planning.micro_batch import MemoryPlan
from lora_trainer.processes.group import Group
from lora_trainer.train.arguments import training_arguments
from lora_trainer.train.trainer import LoraTrainer
from support.padded_reference import gradients
from support.tiny_models import adapted, ragged_rows, without_ours

OBJECTIVE = SupervisedFineTuning()
WAYS = {"padding free": (True, True), "padded": (False, True), "all logits": (False, False)}


def weighted_rows(count: int = 6) -> list[Row]:
    """Ragged rows, every third without weights."""
    random = np.random.default_rng(7)
    rows = ragged_rows(count)
    return [
        row if index % 3 == 2 else replace(row, weights=random.uniform(0.05, 1, len(row)).astype(np.float32))
        for index, row in enumerate(rows)
    ]


def forward_pass_of(model: Any, way: str) -> ForwardPass:
    forward_pass, _ = choose(model, ragged_rows(), pad_token_id=0, autocast=None)
    padding_free, own_head = WAYS[way]
    if not padding_free:
        model.set_attn_implementation("sdpa")
    return replace(forward_pass, padding_free=padding_free, own_head=own_head)


def plain_loss(model: Any, rows: list[Row]) -> Tensor:
    """What torch alone computes, from the model's own padded logits."""
    batch = collate_padded(rows, 0)
    labels, weights = batch.pop("labels")[:, 1:], batch.pop("weights")[:, 1:]
    logits = model(**batch).logits[:, :-1].float()
    each = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), reduction="none")
    weights = weights.reshape(-1) * (labels.reshape(-1) != -100)
    return (each * weights).sum() / weights.sum()


def loss_of(forward_pass: ForwardPass, model: Any, rows: list[Row], micro: int) -> float:
    """The loss of a step, its gradients left in the model."""
    model.zero_grad()
    collate = OBJECTIVE.collate(forward_pass)
    batches = [collate(rows[start : start + micro]) for start in range(0, len(rows), micro)]
    weight = torch.stack([OBJECTIVE.weight_sum(batch) for batch in batches]).sum().float()
    total = 0.0
    for batch in batches:
        loss = OBJECTIVE.loss_sum(forward_pass, model, batch) / weight
        loss.backward()
        total += float(loss.detach())
    return total


@pytest.mark.parametrize("way", WAYS)
def test_loss_and_gradients_are_those_of_plain_torch(way: str) -> None:
    # given a model with an adapter, rows with weights, and what torch alone makes of them
    model, rows = adapted("llama"), weighted_rows()
    plain = without_ours(model)
    expected = plain_loss(plain, rows)
    expected.backward()
    # when our loss goes back through the model
    found = loss_of(forward_pass_of(model, way), model, rows, micro=6)
    # then it is the same to the precision of float32
    assert found == pytest.approx(float(expected.detach()), rel=1e-6)
    wanted, got = gradients(plain), gradients(model)
    assert got.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert float((got[name] - gradient).abs().max() / gradient.abs().max()) < 1e-5, name
        torch.testing.assert_close(got[name], gradient, rtol=0, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_several_micro_batches_make_the_step_of_one(way: str) -> None:
    model, rows = adapted("llama"), weighted_rows(8)
    forward_pass = forward_pass_of(model, way)
    whole, gradient = loss_of(forward_pass, model, rows, micro=8), gradients(model)
    for micro in (4, 1):
        assert loss_of(forward_pass, model, rows, micro=micro) == pytest.approx(whole, rel=1e-6)
        for name, part in gradients(model).items():
            torch.testing.assert_close(part, gradient[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("way", ["padding free", "padded"])
def test_weights_of_1_change_not_a_bit(way: str) -> None:
    model, rows = adapted("llama"), ragged_rows(8)
    forward_pass = forward_pass_of(model, way)
    found, gradient = loss_of(forward_pass, model, rows, micro=4), gradients(model)
    ones = [replace(row, weights=np.ones(len(row), dtype=np.float32)) for row in rows]

    assert loss_of(forward_pass, model, ones, micro=4) == found
    assert all(torch.equal(part, gradient[name]) for name, part in gradients(model).items())


@pytest.mark.parametrize("way", WAYS)
def test_evaluations_use_the_same_weights(way: str) -> None:
    model, rows = adapted("llama"), weighted_rows()
    expected = float(plain_loss(without_ours(model), rows).detach())

    forward_pass = forward_pass_of(model, way)
    found = OBJECTIVE.measure(forward_pass, model, rows, alive=lambda: None)

    assert found.loss == pytest.approx(expected, rel=1e-5)
    assert found.weight == pytest.approx(sum(weight_of(row) for row in rows), rel=1e-5)


def weight_of(row: Row) -> float:
    """The sum of the weights of a row's targets."""
    weights = np.ones(len(row)) if row.weights is None else row.weights
    return float(weights[1:][row.targets[1:]].sum())


def test_accuracy_is_the_share_of_the_weights() -> None:
    # given a head that always says token 1, and two targets of which one is that token
    head, hidden, labels = torch.nn.Linear(2, 4), torch.zeros(2, 2), torch.tensor([1, 2])
    with torch.no_grad():
        head.bias.copy_(torch.tensor([0.0, 5.0, 0.0, 0.0]))
    # then what is right is its weight
    assert loss_sum_and_correct(hidden, labels, head, None, torch.tensor([0.25, 1.0]))[1] == 0.25
    assert loss_sum_and_correct(hidden, labels, head, None)[1] == 1


def _trained(folder: Path, path: Path, micro: int) -> list[float]:
    training = TrainingSpec(max_steps=3, effective_batch_size=8, learning_rate=0.01, max_length=64)
    model, rows = adapted("llama"), OBJECTIVE.rows(path)
    arguments = training_arguments(
        training,
        total_steps=3,
        memory=MemoryPlan(micro, False),
        hardware=Hardware(torch.device("cpu"), torch.float32),
        evaluate=False,
        folder=folder / str(micro),
    )
    trainer = LoraTrainer(
        model=model,
        args=arguments,
        objective=OBJECTIVE,
        forward_pass=choose(model, [rows[0]], pad_token_id=0, autocast=None)[0],
        train_rows=rows,
        validation_rows=None,
        effective_batch_size=8,
        schedule="constant",
        callbacks=[],
        alive=lambda: None,
        group=Group(),
    )
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_the_trainer_takes_the_weights_of_prepared_rows(tmp_path: Path) -> None:
    # given prepared rows, of which some have weights
    path = tmp_path / "train.parquet"
    rows = weighted_rows(24)
    columns: list[dict[str, Any]] = [
        {
            "input_ids": row.input_ids.tolist(),
            "targets": row.targets.tolist(),
            "length": len(row),
            "weights": None if row.weights is None else row.weights.tolist(),
        }
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(columns, schema=ROW_SCHEMA.append(WEIGHTS)), path)
    # when they train with one micro batch a step, and with four
    whole, parts = _trained(tmp_path, path, 8), _trained(tmp_path, path, 2)
    # then the steps are the same, and the first is what torch makes of its rows
    assert whole == pytest.approx(parts, rel=1e-5)
    read, order = Rows(path), np.random.default_rng((42, 0)).permutation(24)[:8]
    first = plain_loss(without_ours(adapted("llama")), [read[int(index)] for index in order])
    assert whole[0] == pytest.approx(float(first.detach()), rel=1e-4)
