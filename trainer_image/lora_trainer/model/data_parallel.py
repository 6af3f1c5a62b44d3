"""The loss of a model in several processes, through torch's DistributedDataParallel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lora_trainer.model.forward import causal_model
from lora_trainer.model_files.shape import expert_count

LossSum = Callable[[nn.Module, Mapping[str, Any]], Tensor]


class _WithLoss(nn.Module):
    """The forward pass that DistributedDataParallel has to see: from a batch to the sum of its losses."""

    def __init__(self, model: nn.Module, loss_sum: LossSum) -> None:
        super().__init__()
        self.model = model
        self._loss_sum = loss_sum

    def forward(self, batch: Mapping[str, Any]) -> Tensor:
        return self._loss_sum(self.model, batch)


def data_parallel(model: nn.Module, loss_sum: LossSum) -> DistributedDataParallel:
    """Make a module from a batch to its loss sum; its backward pass averages the adapter's gradients over processes.

    Every process loaded the same frozen weights, so the adapter's values alone are made equal here.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        dist.broadcast(parameter.data, src=0)
    device = trained[0].device
    return DistributedDataParallel(
        _WithLoss(model, loss_sum),
        device_ids=[device.index] if device.type == "cuda" else None,
        broadcast_buffers=False,
        init_sync=False,
        find_unused_parameters=_routes_tokens(model),
    )


def _routes_tokens(model: nn.Module) -> bool:
    """Tell whether the model is a mixture of experts: one to which no token went has no gradient."""
    config = causal_model(model).config.get_text_config()
    return expert_count(config.to_dict()) > 1
