"""What replaces parts of torch, transformers and peft gives their results, with fewer passes over memory."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lora_contract.finetune import LoraSpec
from lora_trainer.model import lora_product, norms
from lora_trainer.model.adapter import attach
from lora_trainer.model.attention import padding_free_attention
from lora_trainer.model.difference import relative_difference
from support.tiny_models import CONFIGS, adapted, tiny, without_ours

#: Largest difference relative to the size, by number format: bfloat16 keeps 8 bits.
CLOSE = {torch.float32: 1e-5, torch.bfloat16: 1.5e-2}


def attention(tensors: list[Tensor], bounds: list[int], dtype: torch.dtype) -> list[Tensor]:
    """Result and the three gradients of attention over rows."""
    inputs = [tensor.to(dtype).requires_grad_() for tensor in tensors]
    result, _ = padding_free_attention(
        nn.Module(), *inputs, None, scaling=0.3, cu_seq_lens_q=torch.tensor(bounds, dtype=torch.int32)
    )
    weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
    return [result, *torch.autograd.grad((result.float() * weights).sum(), inputs)]


@pytest.mark.parametrize("lengths", [[5], [1, 130, 7, 300], [128, 256, 1], [129]])
@pytest.mark.parametrize("key_heads", [1, 2, 6])
def test_bfloat16_attention_equals_that_in_float32(lengths: list[int], key_heads: int) -> None:
    # Rows shorter and longer than a block of queries
    torch.manual_seed(0)
    bounds = [0]
    for length in lengths:
        bounds.append(bounds[-1] + length)
    tensors = [torch.randn(1, heads, bounds[-1], 16).bfloat16() for heads in (6, key_heads, key_heads)]
    # Attention is computed in both formats
    expected = attention(tensors, bounds, torch.float32)
    found = attention(tensors, bounds, torch.bfloat16)
    # Result and gradients agree to the precision of the shorter one
    assert found[0].shape == (1, bounds[-1], 6, 16)
    for one, other in zip(found, expected, strict=True):
        assert relative_difference(one, other) < CLOSE[torch.bfloat16]


def test_bfloat16_attention_of_a_row_does_not_depend_on_the_others() -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(1, heads, 300, 16).bfloat16() for heads in (4, 2, 2)]
    changed = [tensor.clone() for tensor in tensors]
    for tensor in changed:
        tensor[:, :, :140] = 7
    together = attention(tensors, [0, 140, 300], torch.bfloat16)[0]
    beside_another = attention(changed, [0, 140, 300], torch.bfloat16)[0]
    assert torch.equal(together[:, 140:], beside_another[:, 140:])


def logits_and_gradients(model: Any) -> dict[str, Tensor]:
    ids = torch.arange(3, 60)[None]
    logits = model(input_ids=ids).logits
    (logits.float() * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    return {"logits": logits} | {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("dtype", CLOSE)
def test_the_adapters_products_are_those_of_peft(dtype: torch.dtype) -> None:
    model = adapted("llama", dtype)
    expected, found = logits_and_gradients(without_ours(model)), logits_and_gradients(model)
    assert found.keys() == expected.keys()
    limit = 1e-4 if dtype is torch.float32 else 0.1
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert relative_difference(found[name], tensor) < limit, name


def test_a_switched_off_adapter_adds_nothing() -> None:
    model = adapted("llama", torch.float32)
    ids = torch.arange(3, 60)[None]
    with model.disable_adapter(), torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, without_ours(model)(input_ids=ids).logits)
    with torch.no_grad():
        assert not torch.equal(model(input_ids=ids).logits, tiny("llama")(input_ids=ids).logits)


def test_dropout_drops_what_the_adapter_sees_and_nothing_else() -> None:
    base = tiny("llama")
    base.requires_grad_(False)
    layer = attach(base, LoraSpec(r=4, alpha=8, dropout=0.5, target_modules=["q_proj"])).model.base_model.model
    projection = layer.model.layers[0].self_attn.q_proj
    nn.init.normal_(projection.lora_B["default"].weight)
    x = torch.randn(1, 9, 32)
    torch.manual_seed(3)
    found = projection.train()(x)
    torch.manual_seed(3)
    dropped = projection.lora_dropout["default"](x)
    a, b = projection.lora_A["default"].weight, projection.lora_B["default"].weight
    torch.testing.assert_close(found, projection.base_layer(x) + dropped @ a.T @ b.T * 2, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("family", CONFIGS)
def test_norms_are_those_of_the_model(family: str, dtype: torch.dtype) -> None:
    model = tiny(family).to(dtype)
    model.requires_grad_(False)
    plain, x = copy.deepcopy(model), torch.randn(1, 7, 32, requires_grad=True)
    with torch.no_grad():
        for mine, theirs in zip(model.parameters(), plain.parameters(), strict=True):
            theirs.copy_(mine.uniform_(-1, 1)) if mine.ndim == 1 else None
    norms.install(model)
    # Gemma's norms compute in another way and stay.
    assert ("forward" in vars(model.model.norm)) == ("gemma" not in family)
    for name in ("input_layernorm", "post_attention_layernorm"):
        results = []
        for either in (model, plain):
            result = getattr(either.model.layers[0], name)(x.to(dtype))
            slopes = torch.linspace(-1, 1, result.numel()).view_as(result)
            results.append((result, *torch.autograd.grad((result.float() * slopes).sum(), x)))
        for found, expected in zip(*results, strict=True):
            assert relative_difference(found, expected) < CLOSE[dtype]


def test_a_norm_that_computes_something_else_stays() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.variance_epsilon = nn.Parameter(torch.ones(8), requires_grad=False), 1e-6

        def forward(self, x: Tensor) -> Tensor:
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon) * (1 + self.weight)

    module = Shifted()
    expected = module(torch.ones(2, 8))
    norms.install(module)
    assert torch.equal(module(torch.ones(2, 8)), expected)


def test_only_linear_layers_of_one_adapter_are_taken_over() -> None:
    model = adapted("llama", torch.float32)
    model.add_adapter("second", model.peft_config["default"])
    model.base_model.set_adapter(["default", "second"])
    lora_product.install(model)
    ids = torch.arange(3, 30)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids).logits, without_ours(model)(input_ids=ids).logits)
