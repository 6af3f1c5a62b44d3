"""What is said of the preferences of base and adapter, and how the gate reads it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lora_contract.finetune.method import DpoSpec, KtoSpec
from lora_contract.finetune.training import GateSpec
from lora_trainer.batches.compared_rows import ComparedRows
from lora_trainer.model.forward import ForwardPass, choose
from lora_trainer.objective import Measured, Objective, Role
from lora_trainer.objective.kto import KahnemanTverskyOptimisation
from lora_trainer.objective.preference import DirectPreferenceOptimisation
from support.compared_rows import ask_reference, completions_file, pairs_file
from support.tiny_models import adapted

ROWS = 12


@pytest.fixture(scope="module")
def model() -> Any:
    return adapted("llama")


@pytest.fixture(scope="module")
def forward_pass(model: Any, tmp_path_factory: pytest.TempPathFactory) -> ForwardPass:
    path = tmp_path_factory.mktemp("rows") / "train.parquet"
    pairs_file(path, 2)
    rows = DirectPreferenceOptimisation(DpoSpec()).rows(path)
    return choose(model, [rows[0], rows[1]], pad_token_id=0, autocast=None)[0]


def measured(
    objective: Objective, rows: ComparedRows, forward_pass: ForwardPass, model: Any, *, role: Role = "adapter"
) -> Measured:
    return objective.measure(
        forward_pass,
        model,
        [rows[index] for index in range(len(rows))],
        alive=lambda: None,
        role=role,
    )


@pytest.fixture
def pairs(tmp_path: Path, forward_pass: ForwardPass, model: Any) -> ComparedRows:
    pairs_file(tmp_path / "train.parquet", ROWS)
    rows = DirectPreferenceOptimisation(DpoSpec()).rows(tmp_path / "train.parquet")
    ask_reference(forward_pass, model, rows)
    return rows


@pytest.fixture
def completions(tmp_path: Path, forward_pass: ForwardPass, model: Any) -> ComparedRows:
    completions_file(tmp_path / "train.parquet", ROWS)
    rows = KahnemanTverskyOptimisation(KtoSpec()).rows(tmp_path / "train.parquet")
    ask_reference(forward_pass, model, rows)
    return rows


def said_by(model: Any, forward_pass: ForwardPass, rows: ComparedRows) -> np.ndarray[Any, Any]:
    """Log-probabilities of the sequences, by the model's own logits, one sequence at a time."""
    found = []
    for number in range(2 * len(rows)):
        row = rows.sequence(number)
        logits = forward_pass.logits(model, [row]).log_softmax(-1)
        wanted = torch.from_numpy(row.input_ids[1:][row.targets[1:]].astype(np.int64))
        found.append(float(logits.gather(1, wanted[:, None]).sum()))
    return np.array(found).reshape(-1, 2)


def test_the_adapter_prefers_what_it_made_likelier(pairs: ComparedRows, forward_pass: ForwardPass, model: Any) -> None:
    # What the adapter and the base say of each answer
    adapter = said_by(model, forward_pass, pairs)
    with model.disable_adapter():
        base = said_by(model, forward_pass, pairs)
    ratios = adapter - base
    differences = ratios[:, 0] - ratios[:, 1]
    counts = np.array([[each.target_count for each in pairs[index].sequences] for index in range(ROWS)])
    # The figures of the adapter are about what it changed
    found = measured(DirectPreferenceOptimisation(DpoSpec(beta=0.5)), pairs, forward_pass, model)
    assert found.weight == ROWS
    assert found.loss == pytest.approx(np.log1p(np.exp(-0.5 * differences)).mean(), rel=1e-4)
    assert found.figures == pytest.approx(
        {
            "preference_accuracy": (differences > 0).mean(),
            "margin": 0.5 * differences.mean(),
            "kl": ratios[:, 0].mean(),
            "chosen_loss": -(adapter[:, 0] / counts[:, 0]).mean(),
        },
        rel=1e-3,
    )
    # Those of the base are about what it says itself: it changed nothing
    of_base = measured(DirectPreferenceOptimisation(DpoSpec(beta=0.5)), pairs, forward_pass, model, role="reference")
    assert of_base.loss == pytest.approx(math.log(2))
    assert of_base.figures == pytest.approx(
        {
            "preference_accuracy": (base[:, 0] > base[:, 1]).mean(),
            "margin": 0.5 * (base[:, 0] - base[:, 1]).mean(),
            "kl": 0,
            "chosen_loss": -(base[:, 0] / counts[:, 0]).mean(),
        },
        rel=1e-3,
    )


def test_each_wanted_completion_is_compared_with_each_unwanted_one(
    completions: ComparedRows, forward_pass: ForwardPass, model: Any
) -> None:
    adapter = said_by(model, forward_pass, completions)
    with model.disable_adapter():
        base = said_by(model, forward_pass, completions)
    wanted = np.array([completions.desirable[index] for index in range(ROWS)])
    roles: tuple[tuple[Any, Role], ...] = ((adapter - base, "adapter"), (base, "reference"))
    for said, role in roles:
        good, bad = said[wanted, 0], said[~wanted, 0]
        found = measured(KahnemanTverskyOptimisation(KtoSpec(beta=0.5)), completions, forward_pass, model, role=role)
        accuracy = (good[:, None] > bad[None, :]).mean()
        assert found.figures["preference_accuracy"] == pytest.approx(accuracy, abs=1e-6)
        assert found.figures["margin"] == pytest.approx(0.5 * (good.mean() - bad.mean()), rel=1e-3)
        divergence = 0 if role == "reference" else max(0, (adapter - base)[:, 1].mean())
        assert found.figures["kl"] == pytest.approx(divergence, rel=1e-3)
    # The base changed nothing, and every completion loses one half
    assert found.loss == pytest.approx(0.5)


def test_completions_of_one_kind_say_nothing_of_preferences(
    completions: ComparedRows, forward_pass: ForwardPass, model: Any
) -> None:
    # Held-out rows that are all wanted
    rows = [completions[index] for index in range(ROWS) if completions.desirable[index]]
    objective = KahnemanTverskyOptimisation(KtoSpec())
    found = objective.measure(forward_pass, model, rows, alive=lambda: None)
    # What cannot be said is left out, and the gate says why it cannot be checked
    assert set(found.figures) == {"kl", "chosen_loss"}
    failed = objective.gate_failure(
        GateSpec(min_preference_accuracy=0.5), test=found, base_test=None, scores=None, forgetting_ratio=None
    )
    assert failed == "gate.minPreferenceAccuracy cannot be checked: there are no test rows to compare"


@pytest.mark.parametrize(
    ("accuracy", "failed"),
    [(0.9, None), (0.899, "accuracy of preferences 0.899 is below gate.minPreferenceAccuracy 0.9")],
)
def test_the_gate_reads_the_accuracy_of_preferences(accuracy: float, failed: str | None) -> None:
    found = DirectPreferenceOptimisation(DpoSpec()).gate_failure(
        GateSpec(min_preference_accuracy=0.9),
        test=Measured(0.5, {"preference_accuracy": accuracy}),
        base_test=None,
        scores=None,
        forgetting_ratio=None,
    )
    assert found == failed


def test_sources_without_a_figure_do_not_count_for_it() -> None:
    parts = [Measured(1.0, {"kl": 2.0, "margin": 4.0}, 3), Measured(3.0, {"kl": 6.0}, 1), Measured(math.nan, {}, 0)]
    together = Measured.together(parts)
    assert (together.loss, together.weight) == (1.5, 4)
    assert together.figures == {"kl": 3.0, "margin": 4.0}
