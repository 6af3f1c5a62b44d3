"""What the trainer computes on a GPU equals the padded reference, for every family and number format."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lora_contract.finetune import QuantizationSpec
from lora_trainer.batches.batch import to_device
from lora_trainer.model import attention
from lora_trainer.model.forward import choose
from lora_trainer.model.hardware import Hardware
from lora_trainer.model.load import load_base, round_to_four_bit
from support.padded_reference import gradients, reference_loss
from support.tiny_models import CONFIGS, ragged_rows, save_tiny, tiny, with_adapter, without_ours

CUDA = torch.device("cuda", 0)
BFLOAT16 = torch.bfloat16
HARDWARE = Hardware(CUDA, BFLOAT16)
#: Heads as large as real ones, so that the GPU's kernels for attention take them.
SHAPE: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64}
SOFT_CAP = "gemma2-softcap-window"


def loss_and_gradients(model: Any, rows: list[Any], autocast: torch.dtype | None) -> tuple[float, dict[str, Tensor]]:
    """In the product's way, which must be one without padding."""
    model.zero_grad()
    forward_pass, warnings = choose(model, rows, pad_token_id=0, autocast=autocast)
    assert forward_pass.padding_free, warnings
    loss = forward_pass.loss_sum(model, to_device(forward_pass.collate(rows), CUDA))
    loss.backward()
    return float(loss), gradients(model)


@pytest.mark.parametrize("family", CONFIGS)
def test_float32_equals_the_padded_reference_loss(family: str) -> None:
    model, rows = with_adapter(tiny(family, **SHAPE).to(CUDA)), ragged_rows()
    plain = without_ours(model)
    loss = reference_loss(plain, rows)
    loss.backward()
    expected, wanted = float(loss), gradients(plain)
    found, slopes = loss_and_gradients(model, rows, None)
    assert found == pytest.approx(expected, rel=1e-4)
    assert slopes.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert (slopes[name] - gradient).abs().max() / gradient.abs().max().clamp_min(1e-6) < 1e-3, name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", CONFIGS)
def test_short_formats_are_as_close_to_float32_as_the_models_own_way(
    family: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Float32's gradients of a model whose weights are rounded to the short format
    rows = ragged_rows()
    short = tiny(family, **SHAPE).to(CUDA, dtype)
    exact = without_ours(with_adapter(copy.deepcopy(short).float()))
    reference_loss(exact, rows).backward()
    wanted = gradients(exact)
    model = with_adapter(short)
    plain = without_ours(model)
    # The short format computes them in the model's own way, and in ours
    with torch.autocast("cuda", dtype):
        reference_loss(plain, rows).backward()
    own = gradients(plain)
    calls: list[int] = []
    varlen = attention._varlen
    monkeypatch.setattr(attention, "_varlen", lambda *a, **k: calls.append(1) or varlen(*a, **k))
    _, found = loss_and_gradients(model, rows, dtype)
    # Ours is no farther away, and one kernel took all rows, but for the soft cap that it does not know
    assert bool(calls) == (family != SOFT_CAP)
    assert distance(found, wanted) <= 1.5 * distance(own, wanted)


def distance(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """Difference relative to the size, over all tensors."""
    far = sum(float((found[name] - value).square().sum()) for name, value in wanted.items())
    return (far / sum(float(value.square().sum()) for value in wanted.values())) ** 0.5


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_four_bit_layers_compute_with_the_values_of_their_codes(kind: str, tmp_path: Path) -> None:
    # A model in four bits, and one that holds the values of these codes, in the same format and in float32
    folder, quantization, rows = save_tiny(tmp_path, **SHAPE), QuantizationSpec(type=kind), ragged_rows()
    four_bit = with_adapter(load_base(folder, quantization, HARDWARE))
    base = load_base(folder, QuantizationSpec(type="none"), HARDWARE)
    round_to_four_bit(base, quantization)
    exact = without_ours(with_adapter(copy.deepcopy(base).float()))
    # All go through the same rows
    reference_loss(exact, rows).backward()
    wanted = gradients(exact)
    _, own = loss_and_gradients(with_adapter(base), rows, torch.bfloat16)
    _, found = loss_and_gradients(four_bit, rows, torch.bfloat16)
    # Four bits are about as close to float32 as bfloat16 is
    assert distance(found, wanted) <= 1.5 * distance(own, wanted)


def test_an_int8_base_trains(tmp_path: Path) -> None:
    folder, rows = save_tiny(tmp_path, **SHAPE), ragged_rows()
    int8, full = (load_base(folder, QuantizationSpec(type=kind), HARDWARE) for kind in ("int8", "none"))
    loss, slopes = loss_and_gradients(with_adapter(int8), rows, BFLOAT16)
    plain, _ = loss_and_gradients(with_adapter(full), rows, BFLOAT16)
    assert loss == pytest.approx(plain, rel=0.15)
    assert all(slope.isfinite().all() and slope.any() for slope in slopes.values())
