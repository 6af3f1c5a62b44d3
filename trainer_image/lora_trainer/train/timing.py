"""How a process spent its time, for the report."""

from __future__ import annotations

import time

from lora_contract.report import Timing
from lora_trainer.environment import process_age
from lora_trainer.train.session import Session


def timing(session: Session, lost_steps: int) -> Timing:
    """Tell the steps of this process and the seconds before and after them.

    `lost_steps` were done by an earlier process beyond the checkpoint that this one started from.
    """
    clock, age, now = session.progress, process_age(), time.monotonic()
    began, ended = clock.first_step_began, clock.last_step_ended
    return Timing(
        from_step=clock.from_step,
        last_step=clock.last_step,
        lost_steps=lost_steps,
        seconds_before_first_step=round(age if began is None else age - (now - began), 1),
        seconds_after_last_step=round(0 if ended is None else now - ended, 1),
        tokens_per_second=round(clock.tokens_per_second, 1),
    )
