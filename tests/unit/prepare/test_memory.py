"""The memory estimate is arithmetic that a person can follow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lora_trainer.model_files.contents import Tensor
from lora_trainer.prepare import memory, model_check
from lora_trainer.prepare.stage import total_steps
from support.chat_models import CONFIG, tensor_shapes
from support.prepared_data import spec

TENSORS = {name: Tensor("BF16", shape) for name, shape in tensor_shapes().items()}
LINEAR = 2 * (32 * 32 * 2 + 16 * 32 * 2 + 64 * 32 * 3)


def _estimate(**changes: object) -> int:
    wanted = spec(**changes)
    return memory.estimate(wanted, CONFIG, TENSORS, model_check.adapted_modules(TENSORS, wanted))


@pytest.mark.parametrize(
    ("quantization", "expected"),
    [
        ({"type": "none"}, 2.0),
        ({"type": "int8"}, 1.0),
        ({"type": "nf4", "doubleQuant": False}, 0.5625),
        ({"type": "nf4", "doubleQuant": True}, 0.51587),
        ({"type": "fp4", "doubleQuant": True}, 0.51587),
    ],
)
def test_a_weight_takes_what_its_type_says(quantization: dict[str, object], expected: float) -> None:
    assert memory.bytes_per_weight(spec(quantization=quantization)) == pytest.approx(expected, abs=1e-5)


def test_quantisation_spares_the_linear_layers_alone() -> None:
    difference = _estimate(quantization={"type": "none"}) - _estimate(quantization={"type": "int8"})

    assert sum(tensor.size for tensor in model_check.linear_modules(TENSORS).values()) == LINEAR
    assert difference == LINEAR


def test_rank_and_modules_count_with_their_optimiser() -> None:
    inputs_and_outputs = 2 * (64 * 2 + 48 * 2 + 96 * 3)

    assert _estimate(lora__r=24) - _estimate(lora__r=16) == 8 * inputs_and_outputs * 16
    assert _estimate(lora__targetModules=["q_proj"]) < _estimate()


def test_memory_grows_with_length_and_micro_batch() -> None:
    assert _estimate(training__maxLength=1024) > _estimate(training__maxLength=512)
    assert _estimate(training__microBatchSize=8) > _estimate(training__microBatchSize=4)


@pytest.mark.parametrize(
    ("changes", "rows", "steps"),
    [
        ({}, 1000, 100),
        ({"training": {"epochs": 3, "effectiveBatchSize": 32}}, 320, 30),
        ({"training": {"epochs": 3, "effectiveBatchSize": 32}}, 321, 33),
        ({"training": {"epochs": 0.5, "effectiveBatchSize": 32}}, 320, 5),
        ({"training": {"epochs": 0.01, "effectiveBatchSize": 32}}, 3, 1),
    ],
)
def test_steps_follow_from_passes_and_rows(changes: dict[str, object], rows: int, steps: int) -> None:
    assert total_steps(spec(**changes), rows) == steps


def test_the_stage_starts_without_torch() -> None:
    code = (
        "import sys, lora_trainer.prepare.stage, transformers.models.auto.auto_mappings;"
        "print([name for name in ('torch', 'peft', 'bitsandbytes', 'accelerate', 'datasets') if name in sys.modules])"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
