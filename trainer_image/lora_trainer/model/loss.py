"""Cross entropy over target positions only, in chunks, so the vocabulary never meets prompt tokens.

The output head is frozen in LoRA training. Its gradient with respect to the hidden states is softmax(logits) minus
the one-hot label, times the head, and can be computed while the logits of a chunk are at hand: the backward pass
then needs neither the logits nor a second product with the head.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lora_trainer.planning.micro_batch import EXACT_LOGITS_AT_ONCE, LOGITS_AT_ONCE


class _FrozenHeadLoss(torch.autograd.Function):
    """Sum of the negative log likelihoods of `labels` [n] under a frozen head, from hidden states [n, size].

    Each is multiplied by its part of `of_targets` [n], float32, where that is given.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - torch calls it so
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        softcap: float | None,
        of_targets: Tensor | None,
    ) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden) if wanted else None
        for start in range(0, hidden.shape[0], LOGITS_AT_ONCE):
            part = slice(start, start + LOGITS_AT_ONCE)
            logits = functional.linear(hidden[part].to(weight.dtype), weight, bias)
            parts = zip(
                logits.split(EXACT_LOGITS_AT_ONCE),
                labels[part, None].split(EXACT_LOGITS_AT_ONCE),
                _split(None if of_targets is None else of_targets[part, None], len(logits)),
                strict=True,
            )
            total += sum(_to_gradient(few, chosen, softcap, weights) for few, chosen, weights in parts)
            if gradient is not None:
                gradient[part] = (logits @ weight).to(hidden.dtype)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * outputs[0].to(gradient.dtype), None, None, None, None, None


def _split(weights: Tensor | None, count: int) -> Iterable[Tensor | None]:
    """Split the weights of `count` targets as their logits are; None for each part where there are none."""
    if weights is not None:
        return weights.split(EXACT_LOGITS_AT_ONCE)
    return [None] * -(-count // EXACT_LOGITS_AT_ONCE)


def _to_gradient(logits: Tensor, labels: Tensor, softcap: float | None, weights: Tensor | None) -> Tensor:
    """Replace logits [n, vocabulary] by the loss's gradient with respect to them, and return the loss.

    `labels` and `weights` are [n, 1].
    """
    exact = logits.float()
    slope = _cap(exact, softcap)
    exact = exact.log_softmax(-1)
    losses = exact.gather(1, labels)
    exact.exp_().scatter_add_(1, labels, torch.full_like(labels, -1.0, dtype=exact.dtype))
    if slope is not None:
        exact.mul_(slope)
    if weights is not None:
        losses = losses * weights
        exact.mul_(weights)
    logits.copy_(exact)
    return -losses.sum()


def _cap(logits: Tensor, softcap: float | None) -> Tensor | None:
    """Apply softcap * tanh(logits / softcap) in place; the derivative of it, None without a cap."""
    if softcap is None:
        return None
    logits.div_(softcap).tanh_()
    slope = 1 - logits.square()
    logits.mul_(softcap)
    return slope


def loss_sum(
    hidden: Tensor, labels: Tensor, head: nn.Module, softcap: float | None, weights: Tensor | None = None
) -> Tensor:
    """Sum up the negative log likelihoods in nats, each times its weight; a float32 scalar.

    Shapes: hidden [n, size], labels [n], weights [n]; without weights all count 1.
    """
    if isinstance(head, nn.Linear) and type(head) is nn.Linear and not head.weight.requires_grad:
        return _FrozenHeadLoss.apply(hidden, head.weight, head.bias, labels, softcap, weights)
    return _cross_entropy(head_logits(hidden, head, softcap), labels, weights)


def _cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return functional.cross_entropy(logits, labels, reduction="sum")
    return (functional.cross_entropy(logits, labels, reduction="none") * weights).sum()


def head_logits(hidden: Tensor, head: nn.Module, softcap: float | None) -> Tensor:
    """Compute logits in float32 [n, vocabulary]."""
    return _capped(head(hidden).float(), softcap)


def _capped(logits: Tensor, softcap: float | None) -> Tensor:
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def loss_sum_and_correct(
    hidden: Tensor, labels: Tensor, head: nn.Module, softcap: float | None, weights: Tensor | None = None
) -> tuple[float, float]:
    """Sum up the losses as `loss_sum` does, and the weights of the labels that were the most likely token.

    Called without gradients.
    """
    total = torch.zeros((), dtype=torch.float64, device=hidden.device)
    correct = torch.zeros((), dtype=torch.float64, device=hidden.device)
    for start in range(0, hidden.shape[0], LOGITS_AT_ONCE):
        part = slice(start, start + LOGITS_AT_ONCE)
        every = zip(
            head(hidden[part]).split(EXACT_LOGITS_AT_ONCE),
            labels[part].split(EXACT_LOGITS_AT_ONCE),
            _split(None if weights is None else weights[part], len(labels[part])),
            strict=True,
        )
        for few, wanted, weighed in every:
            logits = _capped(few.float(), softcap)
            total += _cross_entropy(logits, wanted, weighed).double()
            right = logits.argmax(-1) == wanted
            correct += (right if weighed is None else right * weighed).sum(dtype=torch.float64)
    return float(total), float(correct)
