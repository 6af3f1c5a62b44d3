"""The learning rate of each step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_contract.finetune import TrainingSpec
from lora_trainer.model.hardware import Hardware
from lora_trainer.planning.micro_batch import MemoryPlan
from lora_trainer.train.arguments import training_arguments
from lora_trainer.train.schedule import factor, scheduler

CPU = Hardware(torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(
    ("schedule", "middle", "end"), [("cosine", 0.5, 0.0), ("linear", 0.5, 0.0), ("constant", 1.0, 1.0)]
)
def test_the_learning_rate_warms_up_and_follows_its_schedule(schedule: Any, middle: float, end: float) -> None:
    training = TrainingSpec(max_steps=220, schedule=schedule, warmup_ratio=0.09, learning_rate=1e-3)
    arguments = training_arguments(
        training, total_steps=220, memory=MemoryPlan(4, False), hardware=CPU, evaluate=False, folder=Path("/tmp/unused")
    )
    assert arguments.warmup_steps == 20
    assert arguments.gradient_accumulation_steps == 8
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    rate = scheduler(optimizer, schedule=schedule, warmup_steps=arguments.warmup_steps, total_steps=220)
    rates = []
    for _ in range(221):
        rates.append(rate.get_last_lr()[0])
        optimizer.step()
        rate.step()
    assert rates[0] == pytest.approx(1e-3 / 21)
    assert rates[10] == pytest.approx(1e-3 * 11 / 21)
    assert rates[20] == pytest.approx(1e-3)
    assert rates[120] == pytest.approx(middle * 1e-3, abs=1e-6)
    assert rates[220] == pytest.approx(end * 1e-3, abs=1e-6)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("total", [1, 2, 3, 100])
@pytest.mark.parametrize("ratio", [0, 0.03, 0.5])
def test_each_step_of_a_run_learns(schedule: Any, total: int, ratio: float) -> None:
    warmup = math.ceil(ratio * total)
    factors = [factor(step, schedule=schedule, warmup_steps=warmup, total_steps=total) for step in range(total)]
    assert all(0 < each <= 1 for each in factors)
    assert sorted(factors[: warmup + 1]) == factors[: warmup + 1]


def test_a_schedule_of_an_earlier_release_goes_on() -> None:
    # The schedule of a checkpoint that transformers' own scheduler wrote after step 30
    from transformers import get_scheduler  # noqa: PLC0415

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    before = get_scheduler("cosine", optimizer, num_warmup_steps=20, num_training_steps=220)
    for _ in range(30):
        optimizer.step()
        before.step()
    # Ours takes it over
    after = scheduler(optimizer, schedule="cosine", warmup_steps=20, total_steps=220)
    after.load_state_dict(before.state_dict())
    # It goes on as that would have
    for _ in range(5):
        optimizer.step()
        before.step()
        expected = before.get_last_lr()
        after.step()
        assert after.get_last_lr() == pytest.approx(expected)
