"""Loss and gradients of preference tuning are those of TRL's DPOTrainer and KTOTrainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from lora_contract.finetune.method import DpoSpec, KtoSpec
from lora_trainer.batches.batch import Batch
from lora_trainer.batches.compared_rows import ComparedRows, Completions
from lora_trainer.model.difference import relative_difference
from lora_trainer.model.forward import choose
from lora_trainer.objective import Objective
from lora_trainer.objective.kto import KahnemanTverskyOptimisation
from lora_trainer.objective.preference import DirectPreferenceOptimisation
from lora_trainer.processes.group import Group
from support import tiny_models, trl_runs
from support.compared_rows import Ids, ask_reference, completions_file, pairs_file
from support.tiny_models import byte_tokenizer, without_ours
from support.trl_runs import BATCH, by_our_schedule, losses, our_order, ours, trl_arguments

STEPS = 6

Gradients = dict[str, torch.Tensor]


class TokenisedPairs(DPOTrainer):
    """Takes rows that are tokenised already."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


class TokenisedCompletions(KTOTrainer):
    """Takes rows that are tokenised already, each with the completion that it is mismatched with."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


def gradients_of(model: Any) -> Gradients:
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad}


def our_loss(model: Any, objective: Objective, rows: ComparedRows, *, micro: int) -> tuple[float, Gradients]:
    """Loss and gradients of one step over all rows, in passes of `micro` rows."""
    forward_pass, _ = choose(model, [rows[0], rows[1]], pad_token_id=0, autocast=None)
    assert forward_pass.padding_free
    ask_reference(forward_pass, model, rows)
    collate = objective.collate(forward_pass)
    batches: list[Batch] = [
        collate([rows[index] for index in range(start, min(start + micro, len(rows)))])
        for start in range(0, len(rows), micro)
    ]
    objective.prepare_step(forward_pass, model, batches, Group())
    weight = float(sum(objective.weight_sum(batch) for batch in batches))
    loss = 0.0
    for batch in batches:
        part = objective.loss_sum(forward_pass, model, batch) / weight
        part.backward()
        loss += float(part.detach())
    return loss, gradients_of(model)


def trl_loss(trainer: Any, data: list[Ids], *, micro: int) -> tuple[float, Gradients]:
    """The same of a trainer of TRL, which means over each pass and then over passes."""
    trainer.model.train()
    loss = 0.0
    for start in range(0, len(data), micro):
        some = data[start : start + micro]
        part = trainer.compute_loss(trainer.model, trainer.data_collator(some)) * len(some) / len(data)
        part.backward()
        loss += float(part.detach())
    return loss, gradients_of(trainer.model)


def arguments(folder: Path, **changes: Any) -> dict[str, Any]:
    return trl_arguments(folder, steps=STEPS) | changes


def pairs_of_trl(model: Any, pairs: list[Ids], folder: Path, **settings: Any) -> Any:
    told = DPOConfig(**arguments(folder), **settings)
    data = Dataset.from_list(pairs)
    return with_base(TokenisedPairs(model, args=told, train_dataset=data, processing_class=byte_tokenizer()))


def completions_of_trl(model: Any, completions: list[Ids], folder: Path, **settings: Any) -> Any:
    told = KTOConfig(**arguments(folder, per_device_train_batch_size=BATCH, gradient_accumulation_steps=1), **settings)
    data = Dataset.from_list(completions)
    return with_base(TokenisedCompletions(model, args=told, train_dataset=data, processing_class=byte_tokenizer()))


def with_base(trainer: Any) -> Any:
    """Let the base be the reference, also of an adapter that was trained before: TRL takes a copy of that one."""
    trainer.model.delete_adapter("ref")
    return trainer


def mismatched(rows: Completions, completions: list[Ids]) -> list[Ids]:
    """Completions for TRL, with the mismatched ones that our rows have."""
    found = []
    for index, completion in enumerate(completions):
        other = rows[index].sequences[1]
        found.append({**completion, "KL_completion_ids": other.input_ids[other.targets].tolist()})
    return found


def assert_same(found: tuple[float, Gradients], expected: tuple[float, Gradients]) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in found[1].items():
        assert relative_difference(gradient, expected[1][name]) < 1e-5, name


@pytest.mark.parametrize(
    ("settings", "of_trl"),
    [
        ({"beta": 0.1}, {"beta": 0.1}),
        ({"beta": 0.5, "sft_weight": 0.3}, {"beta": 0.5, "loss_type": ["sigmoid", "sft"], "loss_weights": [1, 0.3]}),
        ({"beta": 2.0, "length_normalised": True}, {"beta": 2.0, "loss_type": ["sigmoid_norm"]}),
    ],
    ids=["plain", "with the likelihood of chosen answers", "normalised by length"],
)
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2-softcap-window"])
def test_a_pairs_loss_and_gradients_are_those_of_trl(
    family: str, settings: dict[str, Any], of_trl: dict[str, Any], tmp_path: Path
) -> None:
    # An adapter that changes answers already, twice
    pairs = pairs_file(tmp_path / "train.parquet", 10)
    model = tiny_models.adapted(family)
    twin = without_ours(model)
    twin.set_attn_implementation("eager" if "gemma" in family else "sdpa")
    objective = DirectPreferenceOptimisation(DpoSpec(**settings))
    # Ours takes four pairs a pass. TRL takes one: its mean over the chosen answers' tokens is over those of a pass.
    found = our_loss(model, objective, objective.rows(tmp_path / "train.parquet"), micro=4)
    expected = trl_loss(pairs_of_trl(twin, pairs, tmp_path, **of_trl), pairs, micro=1)
    assert_same(found, expected)


@pytest.mark.parametrize("settings", [{"beta": 0.1}, {"beta": 0.5, "desirable_weight": 1.5, "undesirable_weight": 0.8}])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_completions_loss_and_gradients_are_those_of_trl(
    family: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    completions = completions_file(tmp_path / "train.parquet", 10)
    model = tiny_models.adapted(family)
    twin = without_ours(model)
    twin.set_attn_implementation("sdpa")
    objective = KahnemanTverskyOptimisation(KtoSpec(**settings))
    rows = objective.rows(tmp_path / "train.parquet")
    # Ours estimates the KL divergence over the rows of all passes, TRL over those of one: so its pass has all rows
    found = our_loss(model, objective, rows, micro=4)
    told = mismatched(rows, completions)
    expected = trl_loss(completions_of_trl(twin, told, tmp_path, **settings), told, micro=10)
    assert_same(found, expected)


def test_pairs_train_to_the_losses_of_trl(tmp_path: Path) -> None:
    # One fresh adapter, twice, and pairs of answers
    path = tmp_path / "train.parquet"
    pairs, objective, model = pairs_file(path, STEPS * BATCH), DirectPreferenceOptimisation(DpoSpec()), fresh()
    rows, twin = objective.rows(path), without_ours(model)
    # An objective of pairs trains in our trainer, and TRL trains on the same pairs
    trainer = ours(model, objective, rows, tmp_path, steps=STEPS, validation_rows=rows)
    ask_reference(trainer.forward_pass, model, rows)
    in_order = [pairs[index] for index in our_order(len(pairs), steps=STEPS)]
    found = losses(trainer)
    expected = losses(by_our_schedule(pairs_of_trl(twin, in_order, tmp_path, beta=0.1), steps=STEPS))
    # The losses begin where nothing is preferred, fall, and are the same at each step
    assert len(found) == STEPS
    assert found[0] == pytest.approx(np.log(2), rel=1e-5)
    assert found[-1] < 0.9 * found[0]
    assert found == pytest.approx(expected, rel=5e-3)
    # The trainer evaluates what the objective measures
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] < np.log(2)
    assert metrics["eval_preference_accuracy"] > 0.9
    assert metrics["eval_margin"] > 0


def test_completions_train_to_the_losses_of_trl(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    objective, model = KahnemanTverskyOptimisation(KtoSpec(beta=0.5)), fresh()
    completions = completions_file(path, STEPS * BATCH)
    rows, twin = objective.rows(path), without_ours(model)
    trainer = ours(model, objective, rows, tmp_path, steps=STEPS, validation_rows=rows)
    ask_reference(trainer.forward_pass, model, rows)
    told = mismatched(rows, completions)
    in_order = [told[index] for index in our_order(len(told), steps=STEPS)]
    found = losses(trainer)
    expected = losses(by_our_schedule(completions_of_trl(twin, in_order, tmp_path, beta=0.5), steps=STEPS))
    assert len(found) == STEPS
    assert found[0] == pytest.approx(0.5, rel=1e-4)
    assert found[-1] < 0.95 * found[0]
    assert found == pytest.approx(expected, rel=5e-3)
    metrics = trainer.evaluate()
    assert metrics["eval_preference_accuracy"] > 0.8
    assert metrics["eval_kl"] >= 0


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_a_process_without_a_row_takes_part_and_changes_nothing(method: str, tmp_path: Path) -> None:
    # A process that has no row of its own in a step
    path, model = tmp_path / "train.parquet", fresh()
    objective: Any
    if method == "dpo":
        pairs_file(path, 2)
        objective = DirectPreferenceOptimisation(DpoSpec(sft_weight=0.5))
    else:
        completions_file(path, 2)
        objective = KahnemanTverskyOptimisation(KtoSpec())
    rows = objective.rows(path)
    forward_pass, _ = choose(model, [rows[0]], pad_token_id=0, autocast=None)
    # It runs a silent one, beside one of another process
    ask_reference(forward_pass, model, rows)
    batches = [objective.collate(forward_pass)([row]) for row in (rows[0].silent, rows[0])]
    objective.prepare_step(forward_pass, model, batches, Group())
    loss = objective.loss_sum(forward_pass, model, batches[0])
    loss.backward()
    # Loss and weight are zero, and the adapter has gradients of zero for the others to wait for
    assert float(loss.detach()) == 0
    assert [float(objective.weight_sum(batch)) for batch in batches] == [0, 1]
    assert not any(gradient.any() for gradient in gradients_of(model).values())


def fresh() -> Any:
    return trl_runs.adapted("llama")
