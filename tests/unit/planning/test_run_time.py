"""How long a run will take, from how long others took."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.status import PlanStatus
from lora_trainer.planning.run_time import RunTime, estimate, key_of, tokens_of
from support.specs import changed

#: 100 tokens a row, 8 rows a step: 24 steps have 19,200 tokens.
PLAN = PlanStatus(rows=50, tokens=5000, total_steps=24)
BASE = {"training.effectiveBatchSize": 8}


def spec_with(**changes: object) -> LoRAFineTuneSpec:
    paths = {key.replace("__", "."): value for key, value in changes.items()}
    return LoRAFineTuneSpec.model_validate(changed(BASE | paths))


def took(*, before: float = 20, training: float = 96, after: float = 10, tokens: float = 9600) -> RunTime:
    return RunTime(before=before, training=training, after=after, tokens=tokens)


def test_steps_count_in_proportion_to_tokens_and_the_rest_does_not() -> None:
    found = estimate(spec_with(), PLAN, [took()])

    assert found is not None
    assert tokens_of(spec_with(), PLAN, 24) == 19200
    assert found.seconds == 20 + 2 * 96 + 10
    assert (found.basis, found.runs, found.cost) == ("EarlierRuns", 1, None)


def test_a_run_that_was_slow_once_moves_the_limit_and_not_the_middle() -> None:
    found = estimate(spec_with(), PLAN, [took(), took(), took(training=960)])

    assert found is not None
    assert found.seconds == 222
    assert found.low == round(222 / 1.25)
    assert found.high == round((30 + 1920) * 1.25)


def test_gpu_hours_are_those_of_all_gpus_of_all_nodes() -> None:
    found = estimate(spec_with(compute__gpus=4, compute__nodes=2), PLAN, [took()])

    assert found is not None
    assert float(found.gpu_hours) == pytest.approx(222 * 8 / 3600, rel=1e-3)


def test_a_run_that_may_stop_early_may_take_no_steps_at_all() -> None:
    found = estimate(spec_with(training__earlyStopping={"patience": 1}), PLAN, [took()])

    assert found is not None
    assert found.low == round(30 / 1.25)
    assert found.seconds == 222


def test_nothing_is_estimated_from_nothing_or_nonsense() -> None:
    assert estimate(spec_with(), PLAN, []) is None
    assert estimate(spec_with(), PLAN, [took(training=1e9, tokens=1)]) is None


@pytest.mark.parametrize("wrong", [{"before": -1}, {"training": float("inf")}, {"tokens": 0}, {"after": float("nan")}])
def test_what_cannot_have_been_measured_is_not_read(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        took(**wrong)


def test_runs_are_alike_by_what_decides_the_time_of_a_token() -> None:
    commit, plain = "a" * 40, spec_with()
    alike = [{"training__maxSteps": 500}, {"training__learningRate": 0.001}, {"retries": 0}, {"limits__gpuHours": 1}]
    other = [
        {"lora__r": 64},
        {"quantization__type": "none"},
        {"compute__gpus": 2},
        {"compute__nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"}},
        {"compute__resourceName": "amd.com/gpu"},
    ]

    assert {key_of(spec_with(**changes), commit) for changes in alike} == {key_of(plain, commit)}
    keys = {key_of(plain, commit), key_of(plain, "b" * 40), *(key_of(spec_with(**each), commit) for each in other)}
    assert len(keys) == len(other) + 2
