"""From where a sweep is to its status with its conditions, and to the Events that report the change."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from lora_contract.changes import change_sweep_status
from lora_contract.conditions import ConditionType
from lora_contract.reasons import Reason
from lora_contract.sweep import BestStatus, LoRASweepStatus, SweepPhase, SweepReason, TrialPhase, TrialStatus
from lora_contract.times import format_time
from lora_operator.core.run.decision import Event
from lora_operator.core.status.conditions import (
    COMPLETE,
    FAILED,
    GOES_ON,
    REFUSED,
    SUSPENDED,
    condition_facts,
    conditions,
    latched_conditions,
)
from lora_operator.core.sweep.observed_sweep import Sweep
from lora_operator.core.sweep.sweep_decision import SweepAction, SweepDecision

_HOLDS = {
    SweepPhase.RUNNING: GOES_ON,
    SweepPhase.SUSPENDED: SUSPENDED,
    SweepPhase.COMPLETE: COMPLETE,
    SweepPhase.FAILED: FAILED,
}
_WARNINGS = (Reason.SPEC_INVALID, SweepReason.TRIAL_REFUSED, SweepReason.NO_TRIAL_COMPLETE)


@dataclass(frozen=True)
class SweepOutcome:
    """Where the sweep is: one phase, one reason, one message; the conditions follow from them."""

    phase: SweepPhase
    reason: Reason | SweepReason
    message: str
    rows: tuple[TrialStatus, ...] = ()
    active: int = 0
    best: BestStatus | None = None
    actions: tuple[SweepAction, ...] = ()
    events: tuple[Event, ...] = field(default=())
    look_again: float | None = None

    @property
    def refused(self) -> bool:
        """Whether the spec cannot be run."""
        return self.reason is Reason.SPEC_INVALID


def conclude_sweep(sweep: Sweep, outcome: SweepOutcome, now: datetime) -> SweepDecision:
    """Make the decision that an outcome stands for."""
    before = sweep.status
    over = sum(1 for row in outcome.rows if row.phase.over)
    facts = condition_facts(REFUSED if outcome.refused else _HOLDS[outcome.phase], str(outcome.reason), outcome.message)
    status = change_sweep_status(
        before,
        observed_generation=sweep.generation,
        phase=outcome.phase,
        conditions=conditions(facts, before.conditions, generation=sweep.generation, now=now),
        start_time=before.start_time or format_time(now),
        completion_time=_completion_time(before, outcome, now),
        summary=f"{over}/{len(outcome.rows)}" if outcome.rows else None,
        active=outcome.active,
        trials=list(outcome.rows),
        best=outcome.best,
    )
    return SweepDecision(status, outcome.actions, (*outcome.events, *_events(sweep, outcome)), outcome.look_again)


def _completion_time(before: LoRASweepStatus, outcome: SweepOutcome, now: datetime) -> str | None:
    """Return when every trial was over, or the spec was refused: then nothing more happens until it is corrected."""
    if outcome.phase not in (SweepPhase.COMPLETE, SweepPhase.FAILED):
        return None
    return (outcome.refused and before.refused and before.completion_time) or format_time(now)


def latched(sweep: Sweep, now: datetime) -> SweepDecision:
    """Let a finished sweep take notice of a changed spec; it changes in nothing else."""
    seen = latched_conditions(sweep.status.conditions, generation=sweep.generation, now=now)
    return SweepDecision(change_sweep_status(sweep.status, observed_generation=sweep.generation, conditions=seen))


def in_words(rows: tuple[TrialStatus, ...]) -> str:
    """Count how many trials ended how: `3 complete, 1 stopped`."""
    ends = (TrialPhase.COMPLETE, TrialPhase.STOPPED, TrialPhase.FAILED)
    counts = {phase: sum(1 for row in rows if row.phase is phase) for phase in ends}
    return ", ".join(f"{count} {phase.lower()}" for phase, count in counts.items() if count)


def _events(sweep: Sweep, outcome: SweepOutcome) -> tuple[Event, ...]:
    old = sweep.status.condition(ConditionType.READY)
    if old is not None and old.reason == outcome.reason:
        return ()
    return (Event("Warning" if outcome.reason in _WARNINGS else "Normal", str(outcome.reason), outcome.message),)
