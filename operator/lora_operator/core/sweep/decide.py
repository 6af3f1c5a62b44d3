"""The decision about a sweep.

Its trials are ordinary runs: a sweep creates them, suspends them and reads their status, and does nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from lora_contract.changes import change_trial
from lora_contract.conditions import ConditionType
from lora_contract.reasons import Reason
from lora_contract.sweep import LoRASweepSpec, SweepPhase, SweepReason, TrialPhase, TrialStatus
from lora_operator.core.observe.observed import FineTune
from lora_operator.core.observe.resource import CreateError
from lora_operator.core.run import limits
from lora_operator.core.run.decision import Event
from lora_operator.core.sweep.conclude_sweep import SweepOutcome, conclude_sweep, in_words, latched
from lora_operator.core.sweep.manifest import trial_manifest
from lora_operator.core.sweep.median import fallen_behind
from lora_operator.core.sweep.observed_sweep import ObservedSweep, Sweep
from lora_operator.core.sweep.rows import find_best, is_suspended, record_rows
from lora_operator.core.sweep.sweep_decision import CreateTrial, SuspendTrial, SweepAction, SweepDecision
from lora_operator.settings import Settings


def decide_sweep(observed: ObservedSweep, settings: Settings, now: datetime) -> SweepDecision:
    """Decide what to do about one sweep, from all that is known of it. Pure: equal arguments give equal decisions."""
    sweep = observed.sweep
    if sweep.deleting:
        return SweepDecision(sweep.status)  # ownerReferences clean up
    if sweep.status.finished:
        return latched(sweep, now)
    if sweep.accepted:
        sweep = sweep.by_earlier_rules()
        observed = replace(observed, sweep=sweep)
    if sweep.spec is None:
        return conclude_sweep(sweep, _refusal(sweep), now)

    error = observed.create_error
    if error is not None and observed.monotonic - error.time >= limits.RETRY:
        error = None  # it is tried again
    plan = _Plan(observed, sweep.spec, record_rows(observed), error)
    plan = _suspend(plan) if sweep.spec.suspend else _start(_stop(_resume(plan)), settings)
    return conclude_sweep(sweep, _outcome(plan), now)


def _refusal(sweep: Sweep) -> SweepOutcome:
    """Refuse a spec that cannot be run; what is known of trials stays."""
    return SweepOutcome(
        phase=SweepPhase.FAILED,
        reason=Reason.SPEC_INVALID,
        message="; ".join(sweep.spec_errors),
        rows=tuple(sweep.status.trials),
        best=sweep.status.best,
    )


@dataclass(frozen=True)
class _Plan:
    """The rows as they will be written, and what is done to get there."""

    observed: ObservedSweep
    spec: LoRASweepSpec
    rows: tuple[TrialStatus, ...]
    error: CreateError | None
    actions: tuple[SweepAction, ...] = ()
    events: tuple[Event, ...] = ()
    resumed: frozenset[str] = frozenset()

    @property
    def active(self) -> tuple[TrialStatus, ...]:
        """Trials that hold a place: they are under way and not suspended."""
        return tuple(row for row in self.rows if self._holds_a_place(row))

    def run(self, row: TrialStatus) -> FineTune | None:
        """Find the run of a trial."""
        return self.observed.run(row.name)

    def _holds_a_place(self, row: TrialStatus) -> bool:
        if row.phase.over or row.phase is TrialPhase.WAITING:
            return False
        run = self.run(row)
        return run is None or not is_suspended(run) or row.name in self.resumed

    def with_rows(self, changed: dict[str, TrialStatus]) -> tuple[TrialStatus, ...]:
        """Return the rows, some of them replaced."""
        return tuple(changed.get(row.name, row) for row in self.rows)


def _suspend(plan: _Plan) -> _Plan:
    actions = tuple(
        SuspendTrial(row.name, suspend=True)
        for row in plan.active
        if (run := plan.run(row)) is not None and not is_suspended(run)
    )
    return replace(plan, actions=actions)


def _resume(plan: _Plan) -> _Plan:
    """Let the trials go on that are suspended, where the sweep itself was until now."""
    if not plan.observed.sweep.status.holds(ConditionType.SUSPENDED):
        return plan
    held = [
        row.name for row in plan.rows if not row.phase.over and (run := plan.run(row)) is not None and is_suspended(run)
    ]
    actions = tuple(SuspendTrial(name, suspend=False) for name in held)
    return replace(plan, actions=(*plan.actions, *actions), resumed=frozenset(held))


def _stop(plan: _Plan) -> _Plan:
    """Suspend the trials that have fallen behind."""
    behind = {found.trial: found for found in fallen_behind(plan.rows, plan.spec.median_stopping)}
    changed = {
        row.name: change_trial(row, phase=TrialPhase.STOPPED, stopped_at_percent=behind[row.name].percent)
        for row in plan.rows
        if row.name in behind
    }
    actions = [action for action in plan.actions if not (isinstance(action, SuspendTrial) and action.name in behind)]
    for row in changed.values():
        run = plan.run(row)
        if run is not None and not is_suspended(run):
            actions.append(SuspendTrial(row.name, suspend=True))
    events = tuple(Event("Normal", SweepReason.TRIAL_STOPPED, found.message) for found in behind.values())
    return replace(plan, rows=plan.with_rows(changed), actions=tuple(actions), events=(*plan.events, *events))


def _start(plan: _Plan, settings: Settings) -> _Plan:
    """Create runs for the next trials, as many as there is room for."""
    if plan.error is not None:
        return plan
    sweep = plan.observed.sweep
    room = plan.spec.max_parallel - len(plan.active)
    waiting = [row.name for row in plan.rows if row.phase is TrialPhase.WAITING][: max(0, room)]
    actions = tuple(
        CreateTrial(trial_manifest(sweep, trial, settings)) for trial in sweep.trials if trial.name in waiting
    )
    started = {row.name: change_trial(row, phase=TrialPhase.PENDING) for row in plan.rows if row.name in waiting}
    return replace(plan, rows=plan.with_rows(started), actions=(*plan.actions, *actions))


def _outcome(plan: _Plan) -> SweepOutcome:
    best, rows = find_best(plan.observed), plan.rows
    over = sum(1 for row in rows if row.phase.over)
    outcome = SweepOutcome(
        phase=SweepPhase.RUNNING,
        reason=SweepReason.TRIALS_RUNNING,
        message=f"Trials over: {over} of {len(rows)}; under way: {len(plan.active)}.",
        rows=rows,
        active=len(plan.active),
        best=best,
        actions=plan.actions,
        events=plan.events,
    )
    if over == len(rows):
        if best is None:
            text = f"No trial is complete with an evaluation loss: {in_words(rows)}. See status.error of each run."
            return replace(outcome, phase=SweepPhase.FAILED, reason=SweepReason.NO_TRIAL_COMPLETE, message=text)
        chosen = ", ".join(f"{path}: {value}" for path, value in best.parameters.items()) or "the template as it is"
        figure = f"evaluation loss {best.best_eval_loss}"
        if any(trial.varies_method for trial in plan.observed.sweep.trials):
            figure = f"{best.best_eval_accuracy or 'unknown'} of the validation rows preferred rightly"
        text = f"{best.trial} is best with {figure} ({chosen}); trials: {in_words(rows)}."
        return replace(outcome, phase=SweepPhase.COMPLETE, reason=SweepReason.BEST_ADAPTER_FOUND, message=text)
    if plan.spec.suspend:
        text = "Suspended. Set spec.suspend: false to let the trials go on from their last checkpoints."
        return replace(outcome, phase=SweepPhase.SUSPENDED, reason=Reason.SUSPENDED, message=text)
    if plan.error is not None:
        again = limits.RETRY - (plan.observed.monotonic - plan.error.time)
        refused = "could not be read" if plan.error.unreadable else "was refused"
        text = f"Trial {plan.error.name} {refused}: {plan.error.message}"
        return replace(outcome, reason=SweepReason.TRIAL_REFUSED, message=text, look_again=again)
    return outcome
