"""Log-probabilities of targets come in parts, like the loss: the logits of a whole batch never exist at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from lora_trainer.model.loss import head_logits, log_probabilities, loss_sum
from lora_trainer.planning.micro_batch import LOGITS_AT_ONCE

TARGETS, SIZE, VOCABULARY = 2 * LOGITS_AT_ONCE + 100, 8, 500


class LargestLogits(TorchDispatchMode):
    """Remembers the most values that a tensor with the vocabulary as its last dimension had."""

    def __init__(self) -> None:
        super().__init__()
        self.values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor) and tensor.shape[-1:] == (VOCABULARY,) and tensor.shape[0] != SIZE:
                self.values = max(self.values, tensor.numel())
        return out


def inputs() -> tuple[Tensor, Tensor, nn.Linear]:
    torch.manual_seed(0)
    head = nn.Linear(SIZE, VOCABULARY)
    head.requires_grad_(False)
    return torch.randn(TARGETS, SIZE, requires_grad=True), torch.randint(VOCABULARY, (TARGETS,)), head


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_they_and_their_gradients_are_those_of_all_logits_at_once(softcap: float | None) -> None:
    hidden, labels, head = inputs()
    # Each target counts differently
    weights = torch.linspace(-1, 2, TARGETS)
    found = log_probabilities(hidden, labels, head, softcap)
    (found * weights).sum().backward()
    gradient, hidden.grad = hidden.grad, None
    expected = -functional.cross_entropy(head_logits(hidden, head, softcap), labels, reduction="none")
    (expected * weights).sum().backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient, hidden.grad)
    # Without gradients they are the same
    with torch.no_grad():
        torch.testing.assert_close(log_probabilities(hidden, labels, head, softcap), expected)


def test_they_need_no_more_memory_for_logits_than_the_loss() -> None:
    hidden, labels, head = inputs()
    with LargestLogits() as of_loss:
        loss_sum(hidden, labels, head, None).backward()
    with LargestLogits() as of_each:
        log_probabilities(hidden, labels, head, None).sum().backward()
    with torch.no_grad(), LargestLogits() as without_gradients:
        log_probabilities(hidden, labels, head, None)
    assert 0 < of_each.values <= of_loss.values <= LOGITS_AT_ONCE * VOCABULARY
    assert 0 < without_gradients.values <= of_loss.values


def test_what_is_kept_for_the_backward_pass_is_as_large_as_the_hidden_states() -> None:
    hidden, labels, head = inputs()
    kept = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        log_probabilities(hidden, labels, head, None)
    assert kept == hidden.numel()


def test_a_batch_without_targets_has_gradients_of_zero() -> None:
    hidden, labels, head = inputs()
    found = log_probabilities(hidden[:0], labels[:0], head, None)
    found.sum().backward()
    assert found.shape == (0,)
    assert hidden.grad is not None
    assert not hidden.grad.any()
