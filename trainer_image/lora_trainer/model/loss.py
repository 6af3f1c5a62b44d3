"""Cross entropy over target positions only, in chunks, so the vocabulary never meets prompt tokens.

The output head is frozen in LoRA training. Its gradient with respect to the hidden states is softmax(logits) minus
the one-hot label, times the head, and can be computed while the logits of a chunk are at hand: the backward pass
then needs neither the logits nor a second product with the head.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for found in _by_chunk(hidden, weight, bias, labels, softcap, of_targets, gradient):
            total += sum(-few.sum() for few in found)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * outputs[0].to(gradient.dtype), None, None, None, None, None


class _FrozenHeadLogProbabilities(torch.autograd.Function):
    """Log-probability of each of `labels` [n] under a frozen head, float32 [n], from hidden states [n, size].

    What is kept for the backward pass is as large as the hidden states, as it is with the sum of losses.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - torch calls it so
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, softcap: float | None
    ) -> Tensor:
        gradient = torch.empty_like(hidden)
        found = [few for some in _by_chunk(hidden, weight, bias, labels, softcap, None, gradient) for few in some]
        ctx.save_for_backward(gradient)
        return torch.cat(found).squeeze(1) if found else hidden.new_zeros(0, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors  # of the negative log-probabilities
        return gradient * -outputs[0].to(gradient.dtype)[:, None], None, None, None, None


def _by_chunk(  # noqa: PLR0917 - what the two functions above are called with
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    softcap: float | None,
    of_targets: Tensor | None,
    gradient: Tensor | None,
) -> Iterator[list[Tensor]]:
    """Compute log-probabilities, each times its part of `of_targets`: a list of [few, 1] for each chunk of logits.

    `gradient` [n, size], where given, is filled with that of the negative log-probabilities.
    """
    for start in range(0, hidden.shape[0], LOGITS_AT_ONCE):
        part = slice(start, start + LOGITS_AT_ONCE)
        logits = functional.linear(hidden[part].to(weight.dtype), weight, bias)
        parts = zip(
            logits.split(EXACT_LOGITS_AT_ONCE),
            labels[part, None].split(EXACT_LOGITS_AT_ONCE),
            _split(None if of_targets is None else of_targets[part, None], len(logits)),
            strict=True,
        )
        found = [_to_gradient(few, chosen, softcap, weights) for few, chosen, weights in parts]
        if gradient is not None:
            gradient[part] = (logits @ weight).to(hidden.dtype)
        yield found


def _split(weights: Tensor | None, count: int) -> Iterable[Tensor | None]:
    """Split the weights of `count` targets as their logits are; None for each part where there are none."""
    if weights is not None:
        return weights.split(EXACT_LOGITS_AT_ONCE)
    return [None] * -(-count // EXACT_LOGITS_AT_ONCE)


def _to_gradient(logits: Tensor, labels: Tensor, softcap: float | None, weights: Tensor | None) -> Tensor:
    """Replace logits [n, vocabulary] by the loss's gradient with respect to them, and return log-probabilities [n, 1].

    `labels` and `weights` are [n, 1]; loss and log-probabilities are multiplied by the weights.
    """
    exact = logits.float()
    slope = _cap(exact, softcap)
    exact = exact.log_softmax(-1)
    found = exact.gather(1, labels)
    exact.exp_().scatter_add_(1, labels, torch.full_like(labels, -1.0, dtype=exact.dtype))
    if slope is not None:
        exact.mul_(slope)
    if weights is not None:
        found = found * weights
        exact.mul_(weights)
    logits.copy_(exact)
    return found


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
    if _is_frozen(head):
        return _FrozenHeadLoss.apply(hidden, head.weight, head.bias, labels, softcap, weights)
    return _cross_entropy(head_logits(hidden, head, softcap), labels, weights)


def log_probabilities(hidden: Tensor, labels: Tensor, head: nn.Module, softcap: float | None) -> Tensor:
    """Compute the log-probability of each label, float32 [n]; shapes as in `loss_sum`."""
    if torch.is_grad_enabled():
        if _is_frozen(head):
            return _FrozenHeadLogProbabilities.apply(hidden, head.weight, head.bias, labels, softcap)
        return -_losses(head_logits(hidden, head, softcap), labels)
    found = [
        -_losses(_capped(few.float(), softcap), wanted)
        for start in range(0, hidden.shape[0], LOGITS_AT_ONCE)
        for few, wanted in zip(
            head(hidden[start : start + LOGITS_AT_ONCE]).split(EXACT_LOGITS_AT_ONCE),
            labels[start : start + LOGITS_AT_ONCE].split(EXACT_LOGITS_AT_ONCE),
            strict=True,
        )
    ]
    return torch.cat(found) if found else hidden.new_zeros(0, dtype=torch.float32)


def _is_frozen(head: nn.Module) -> bool:
    """Tell whether it is a plain product with weights that are not trained."""
    return type(head) is nn.Linear and not head.weight.requires_grad


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")


def _cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return functional.cross_entropy(logits, labels, reduction="sum")
    return (_losses(logits, labels) * weights).sum()


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
