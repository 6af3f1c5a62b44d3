"""The adapter's two small products, added to the result of the frozen layer in place.

peft computes `result + B(A(x)) * scaling` with a pass over a tensor of the layer's full output for the scaling, for the
sum and for each cast between the adapter's float32 and the model's format. Here the scaling goes into the product, the
product adds to the result where it lies, and only the small matrices are cast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from peft.tuners.lora.layer import LoraLayer
from torch import Tensor, nn
from torch.nn import functional


class _AddAdapter(torch.autograd.Function):
    """result [..., out] + scaling * x [..., in] @ a [r, in].T @ b [out, r].T; `result` is overwritten."""

    @staticmethod
    def forward(ctx: Any, result: Tensor, x: Tensor, a: Tensor, b: Tensor, scaling: float) -> Tensor:  # noqa: PLR0917
        small_a, small_b = a.to(result.dtype), b.to(result.dtype)
        flat = x.reshape(-1, x.shape[-1]).to(result.dtype)
        inner = flat @ small_a.T
        result.view(-1, result.shape[-1]).addmm_(inner, small_b.T, alpha=scaling)
        ctx.mark_dirty(result)
        ctx.save_for_backward(flat, inner, small_a, small_b)
        ctx.scaling, ctx.shape, ctx.formats = scaling, x.shape, (x.dtype, a.dtype, b.dtype)
        return result

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Any:
        flat, inner, small_a, small_b = ctx.saved_tensors
        of_x, of_a, of_b = ctx.formats
        gradient = outputs[0].reshape(-1, outputs[0].shape[-1])
        slope = (gradient @ small_b).mul_(ctx.scaling)
        x_gradient = (slope @ small_a).view(ctx.shape).to(of_x) if ctx.needs_input_grad[1] else None
        a_gradient = (slope.T @ flat).to(of_a)
        b_gradient = (gradient.T @ inner).mul_(ctx.scaling).to(of_b)
        return outputs[0], x_gradient, a_gradient, b_gradient, None


def install(model: nn.Module) -> None:
    """Let every adapted linear layer of a model with one adapter compute so. peft's own way stays for all others."""
    for layer in model.modules():
        if isinstance(layer, LoraLayer) and _is_fit(layer.base_layer) and not layer.lora_variant:
            layer.forward = partial(_forward, layer, layer.forward)


def _is_fit(base: nn.Module) -> bool:
    """Tell whether the layer's result may be added to in place; with bitsandbytes' int8 that was never tried."""
    return isinstance(base, nn.Linear) and base.weight.dtype != torch.int8


def _forward(layer: Any, original: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if layer.disable_adapters or layer.merged or args or kwargs or len(layer.active_adapters) != 1:
        return original(x, *args, **kwargs)
    name = layer.active_adapters[0]
    dropped = layer.lora_dropout[name](x)
    a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
    result: Tensor = layer.base_layer(x)
    if torch.is_grad_enabled():
        if result._is_view():  # of bitsandbytes on a CPU, where the layer has a bias: autograd refuses to change it
            result = result.clone()
        added: Tensor = _AddAdapter.apply(result, dropped, a, b, layer.scaling[name])
        return added
    inner = functional.linear(dropped.to(result.dtype), a.to(result.dtype))
    return result.add_(functional.linear(inner, b.to(result.dtype)), alpha=layer.scaling[name])
