"""The learning rate of each step."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

Schedule = Literal["cosine", "linear", "constant"]


def factor(step: int, *, schedule: Schedule, warmup_steps: int, total_steps: int) -> float:
    """Compute the share of the peak learning rate at an optimiser step, counted from 0; it is above 0 at each.

    As `transformers.get_scheduler`, but for the warm-up: there it begins with a step at rate 0, which learns nothing,
    and is all that a run of one step has.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    return 1.0 - progress if schedule == "linear" else 1.0


def scheduler(optimizer: Optimizer, *, schedule: Schedule, warmup_steps: int, total_steps: int) -> LambdaLR:
    """Make a scheduler that gives each step its learning rate; its state fits checkpoints of earlier releases."""
    of_step = partial(factor, schedule=schedule, warmup_steps=warmup_steps, total_steps=total_steps)
    return LambdaLR(optimizer, of_step)
