"""How far two results of a model lie apart, and how far they may: relative to their size, by number format."""

from __future__ import annotations

import torch
from torch import Tensor

#: Of the hidden states and logits of padded and padding-free passes, which add up in another order.
OF_FORWARD_PASSES = {torch.float32: 1e-3, torch.bfloat16: 6e-2, torch.float16: 2e-2}
#: Of a norm from the module's own result: both round to the model's format.
OF_NORMS = {torch.float32: 1e-5, torch.bfloat16: 8e-3, torch.float16: 1e-3}
#: Of the logits of a reloaded adapter from those of the trained one. On a CPU there is none.
OF_RELOADED_ADAPTERS = {torch.float32: 1e-4, torch.bfloat16: 1e-2, torch.float16: 1e-2}


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Compute the norm of the difference by that of what is expected, in float32."""
    found, expected = found.detach().float(), expected.detach().float()
    return float((found - expected).norm() / expected.norm().clamp_min(1e-9))
