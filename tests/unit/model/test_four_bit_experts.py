"""Experts in 4 bits: values, losses and gradients are those of transformers and peft on weights rounded to them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from torch.nn import functional
from transformers import PreTrainedModel

from lora_contract.finetune import QuantizationSpec
from lora_trainer.model import load
from lora_trainer.model.forward import choose
from lora_trainer.model.four_bit_experts import FourBitExperts, expert_tensors
from lora_trainer.model.hardware import Hardware
from support.padded_reference import gradients, reference_loss
from support.tiny_models import MIXTURES, ragged_rows, save_tiny, with_adapter, without_ours

CPU = Hardware(torch.device("cpu"), torch.float32)


def coded(path: Path, spec: QuantizationSpec, monkeypatch: pytest.MonkeyPatch) -> PreTrainedModel:
    """A model that is held in 4 bits, as on a GPU."""
    with monkeypatch.context() as patched:
        patched.setattr(load, "_fits_expanded", lambda path, hardware, *, already: False)
        return load.load_base(path, spec, CPU)


@pytest.mark.parametrize("family", MIXTURES)
def test_a_mixture_in_four_bits_trains_like_one_with_rounded_weights(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, spec = save_tiny(tmp_path, family), QuantizationSpec()

    held = coded(path, spec, monkeypatch)
    rounded = load.load_base(path, spec, CPU)

    assert expert_tensors(held) == []
    assert expert_tensors(rounded)
    for name in expert_tensors(rounded):
        experts = held.get_submodule(name)
        assert isinstance(experts, FourBitExperts)
        for expert, weight in enumerate(rounded.get_parameter(name)):
            torch.testing.assert_close(experts.decode(expert), weight.data, rtol=0, atol=0)
    ours, plain, rows = with_adapter(held), without_ours(with_adapter(rounded)), ragged_rows()
    plain.config.use_cache = False  # transformers cannot make one for every family
    forward_pass, _ = choose(ours, rows, pad_token_id=0, autocast=None)
    loss, expected = forward_pass.loss_sum(ours, forward_pass.collate(rows)), reference_loss(plain, rows)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
    (loss + expected).backward()
    found, wanted = gradients(ours), gradients(plain)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        scale = gradient.abs().max().clamp_min(1e-6)
        assert (found[name] - gradient).abs().max() / scale < 1e-4, name


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("double", [True, False])
def test_each_expert_is_quantised_as_a_layer_by_itself(kind: str, double: bool) -> None:
    weights = torch.randn(3, 32, 48)

    experts = FourBitExperts.quantised(weights, quant_type=kind, double_quant=double)

    for expert, weight in enumerate(weights):
        alone = dequantize_4bit(*quantize_4bit(weight, compress_statistics=double, quant_type=kind))
        torch.testing.assert_close(experts[expert].decoded, alone, rtol=0, atol=0)
    assert experts.codes.shape == (3, 32 * 48 // 2)


@pytest.mark.parametrize("as_matrix", [False, True])
def test_a_product_has_the_gradient_of_the_decoded_weight_and_keeps_none_of_it(as_matrix: bool) -> None:
    experts = FourBitExperts.quantised(torch.randn(2, 32, 64), quant_type="nf4", double_quant=True)
    states = torch.randn(5, 32 if as_matrix else 64, requires_grad=True)
    other = states.detach().clone().requires_grad_()
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        product = states @ experts[1] if as_matrix else functional.linear(states, experts[1])
    plain = other @ experts.decode(1) if as_matrix else functional.linear(other, experts.decode(1))

    assert kept == []
    torch.testing.assert_close(product, plain, rtol=0, atol=0)
    product.square().sum().backward()
    plain.square().sum().backward()
    torch.testing.assert_close(states.grad, other.grad, rtol=0, atol=0)


def test_whatever_else_is_done_with_an_expert_gets_its_decoded_weight() -> None:
    experts = FourBitExperts.quantised(torch.randn(2, 8, 64), quant_type="nf4", double_quant=False)

    doubled = torch.add(experts[0], experts[0])

    torch.testing.assert_close(doubled, 2 * experts.decode(0), rtol=0, atol=0)
