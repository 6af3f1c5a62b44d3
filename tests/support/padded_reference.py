"""What a model without anything of ours computes: padded rows, all logits, torch's own cross entropy."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from lora_trainer.batches.batch import collate_padded, to_device


def reference_loss(model: Any, rows: list[Any]) -> Tensor:
    """The model's own padded forward and torch's cross entropy over all logits, in float32."""
    batch = to_device(collate_padded(rows, 0), next(model.parameters()).device)
    labels = batch.pop("labels")
    logits = model(**batch).logits[:, :-1].float()
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1), reduction="sum")


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """A copy of each gradient in float32, by the parameter's name."""
    return {name: p.grad.float().clone() for name, p in model.named_parameters() if p.grad is not None}
