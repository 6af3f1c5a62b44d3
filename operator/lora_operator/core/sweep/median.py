"""Median stopping: a trial that is worse than the median of the others at the same point is given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from lora_contract.counts import counted
from lora_contract.sweep import MedianStoppingSpec, TrialPhase, TrialStatus
from lora_operator.core.sweep.rows import number

#: Phases in which a trial is judged. Suspended among them: the operator may have been killed between suspending a
#: trial and saying why.
_JUDGED = (TrialPhase.QUEUED, TrialPhase.RUNNING, TrialPhase.SUSPENDED)


@dataclass(frozen=True)
class FallenBehind:
    """A trial that is worse than the median of the others, in nats per target token."""

    trial: str
    percent: int
    loss: float
    median: float
    others: int

    @property
    def message(self) -> str:
        """What happened and what can be done, in a sentence or two."""
        return (
            f"{self.trial} was suspended at {self.percent} % of its steps: its best evaluation loss {self.loss:g} is"
            f" above {self.median:g}, the median of {counted(self.others, 'other trial')} at that point."
            " It keeps its checkpoint; set spec.suspend: false on it to let it go on."
        )


def fallen_behind(rows: Sequence[TrialStatus], rule: MedianStoppingSpec | None) -> tuple[FallenBehind, ...]:
    """Select the trials to stop now. One that was stopped before is not judged again: a person let it go on."""
    if rule is None:
        return ()
    judged = [row for row in rows if row.phase in _JUDGED and row.stopped_at_percent is None]
    return tuple(found for row in judged if (found := _judge(row, rows, rule)) is not None)


def _judge(row: TrialStatus, rows: Sequence[TrialStatus], rule: MedianStoppingSpec) -> FallenBehind | None:
    """Judge a trial at the milestone that it passed last."""
    percent = max((milestone.percent for milestone in row.milestones), default=0)
    loss = _loss_at(row, percent)
    if loss is None or percent < rule.start_percent:
        return None
    others = [other for row_ in rows if row_.name != row.name and (other := _loss_at(row_, percent)) is not None]
    if len(others) < rule.min_trials or loss <= median(others):
        return None
    return FallenBehind(row.name, percent, loss, median(others), len(others))


def _loss_at(row: TrialStatus, percent: int) -> float | None:
    return next((number(m.best_eval_loss) for m in row.milestones if m.percent == percent), None)
