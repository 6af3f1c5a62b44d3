"""The memory estimate is arithmetic that a person can follow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lora_contract.status import MemoryStatus
from lora_trainer.model_files import shape
from lora_trainer.model_files.safetensors_header import Tensor
from lora_trainer.planning import memory_estimate
from lora_trainer.prepare import model_check
from lora_trainer.prepare.plan import total_steps
from support.chat_models import CONFIG, tensor_shapes
from support.prepared_data import spec

TENSORS = {name: Tensor("BF16", shape) for name, shape in tensor_shapes().items()}
LINEAR = 2 * (32 * 32 * 2 + 16 * 32 * 2 + 64 * 32 * 3)


def _estimate(row_tokens: int = 512, **changes: object) -> MemoryStatus:
    wanted = spec(**changes)
    adapted = model_check.adapted_modules(TENSORS, wanted, CONFIG)
    return memory_estimate.estimate(wanted, CONFIG, TENSORS, adapted, row_tokens=row_tokens)


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
    assert memory_estimate.bytes_per_weight(spec(quantization=quantization).quantization) == pytest.approx(
        expected, abs=1e-5
    )


def test_quantisation_spares_the_linear_layers_alone() -> None:
    difference = (
        _estimate(quantization={"type": "none"}).weights_bytes - _estimate(quantization={"type": "int8"}).weights_bytes
    )

    assert sum(tensor.size for tensor in shape.linear_modules(TENSORS, CONFIG).values()) == LINEAR
    assert difference == LINEAR


def test_rank_and_modules_count_with_their_optimiser() -> None:
    inputs_and_outputs = 2 * (64 * 2 + 48 * 2 + 96 * 3)

    assert _estimate(lora__r=24).adapter_bytes - _estimate(lora__r=16).adapter_bytes == 8 * inputs_and_outputs * 16
    assert _estimate(lora__targetModules=["q_proj"]).total_bytes < _estimate().total_bytes


def test_memory_grows_with_the_longest_row_and_logits_only_up_to_a_chunk() -> None:
    short, long, longer = (_estimate(row_tokens=tokens) for tokens in (512, 1024, 4096))

    assert short.activation_bytes * 8 == long.activation_bytes * 4 == longer.activation_bytes
    # logits of 512 more targets in 16 bit; those in float32 are of 128 at a time
    assert long.logit_bytes / short.logit_bytes == (1024 * 2 + 128 * 8) / (512 * 2 + 128 * 8)
    assert long.logit_bytes == longer.logit_bytes


def test_the_weights_in_their_smallest_form_are_known() -> None:
    unquantised = _estimate(quantization={"type": "none"})

    assert unquantised.nf4_weights_bytes < unquantised.weights_bytes
    assert unquantised.nf4_weights_bytes == _estimate(quantization={"type": "nf4"}).weights_bytes


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
