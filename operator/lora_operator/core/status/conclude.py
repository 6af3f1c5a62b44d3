"""From an outcome to the status with its conditions, and to the Events that report the change."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Literal, assert_never

from lora_contract.changes import change_status
from lora_contract.conditions import ConditionType
from lora_contract.counts import count, counted
from lora_contract.reasons import Reason, facts_of
from lora_contract.status import ErrorStatus, LoRAFineTuneStatus, PlanStatus, QueueStatus
from lora_contract.times import format_time, parse_time
from lora_operator.core.record import usage
from lora_operator.core.run.decision import Action, DeleteJob, Event, RunDecision
from lora_operator.core.run.outcome import (
    Complete,
    Failed,
    Latched,
    MustRead,
    Outcome,
    Refused,
    Suspended,
    Told,
    UnderWay,
)
from lora_operator.core.run.run import Run
from lora_operator.core.status.conditions import (
    COMPLETE,
    FAILED,
    GOES_ON,
    REFUSED,
    SUSPENDED,
    Fact,
    condition_facts,
    conditions,
    latched_conditions,
)


def conclude(run: Run, outcome: Outcome) -> RunDecision:
    """Make the decision that an outcome stands for."""
    match outcome:
        case MustRead():
            return RunDecision(run.before, outcome.actions)
        case Latched():
            generation, before = run.finetune.generation, outcome.status
            seen = latched_conditions(before.conditions, generation=generation, now=run.now)
            status = change_status(before, observed_generation=generation, phase=outcome.phase, conditions=seen)
            return RunDecision(status, outcome.actions, outcome.events, outcome.look_again)
        case UnderWay():
            status = _status(run, outcome, GOES_ON, queue=outcome.queue)
            events = (*outcome.events, *_events(run, status))
            return RunDecision(status, outcome.actions, events, outcome.look_again, follow_up=outcome.follow_up)
        case Suspended():
            status = _status(run, outcome, SUSPENDED)
            return RunDecision(status, outcome.actions, _events(run, status), follow_up=outcome.follow_up)
        case Refused():
            since = (run.before.refused and run.before.completion_time) or format_time(run.now)
            status = _status(run, outcome, REFUSED, error=outcome.error, completion_time=since)
            return RunDecision(status, outcome.actions, _events(run, status), follow_up=outcome.follow_up)
        case Complete():
            return _end(run, outcome, COMPLETE)
        case Failed():
            return _end(run, outcome, FAILED, error=outcome.error)
        case _:
            assert_never(outcome)


def _end(
    run: Run, outcome: Complete | Failed, holds: Set[ConditionType], *, error: ErrorStatus | None = None
) -> RunDecision:
    ended = outcome.ended or run.now
    outcome = replace(outcome, status=usage.add_usage(outcome.status, usage.account_of_waits(run), ended))
    status = _status(run, outcome, holds, error=error, completion_time=format_time(ended))
    # The status first: it holds the result of what is deleted. The next look is due at once: no event asks for it.
    deletions, _ = clean_up(run, status)
    follow_up = tuple(action for action in deletions if action not in outcome.actions)
    return RunDecision(status, outcome.actions, _events(run, status), requeue_after=0.0, follow_up=follow_up)


def clean_up(
    run: Run, status: LoRAFineTuneStatus, *, needed: str | None = None
) -> tuple[tuple[Action, ...], float | None]:
    """Delete what still runs of a finished run, and the rest after spec.ttlSecondsAfterFinished.

    The seconds until the latter may be days and must not begin anew with each start of the operator: they are counted
    on the API server's clock. `needed`: name of a Job that stays.
    """
    spec = run.finetune.spec
    ended = parse_time(status.completion_time) or run.now
    left = 0.0 if spec is None else spec.ttl_seconds_after_finished - (run.now - ended).total_seconds()
    jobs = [job for job in run.observed.jobs if not job.deleting and job.name != needed]
    due = [job for job in jobs if not job.finished or (spec is not None and left <= 0)]
    waiting = spec is not None and left > 0 and len(due) < len(jobs)
    return tuple(DeleteJob(job.name) for job in due), left if waiting else None


def _status(
    run: Run,
    outcome: Told,
    holds: Set[ConditionType],
    *,
    queue: QueueStatus | None = None,
    error: ErrorStatus | None = None,
    completion_time: str | None = None,
) -> LoRAFineTuneStatus:
    """Write the status of a run that is not latched; `holds` are the conditions that are True in it."""
    facts = condition_facts(holds, outcome.reason, outcome.message, prepared=_prepared(outcome, holds))
    generation = run.finetune.generation
    return change_status(
        outcome.status,
        observed_generation=generation,
        phase=outcome.phase,
        conditions=conditions(facts, run.before.conditions, generation=generation, now=run.now),
        queue=queue,
        error=error,
        completion_time=completion_time,
    )


def _prepared(outcome: Told, holds: Set[ConditionType]) -> Fact:
    status, reason = outcome.status, outcome.reason
    if reason is Reason.ADOPTED_EXISTING_ARTIFACT:
        return ("True", reason, "")
    if status.run_id is not None and status.plan is not None:
        return ("True", Reason.DATA_PREPARED, plan_in_words(status.plan))
    return ("False", Reason.PREPARING if ConditionType.RECONCILING in holds else reason, "")


def plan_in_words(plan: PlanStatus) -> str:
    """Word what prepare found in one sentence."""
    left_out = [
        f"{count(rows)} {what}"
        for rows, what in (
            (plan.bad_rows, "bad"),
            (plan.duplicate_rows, "repeated"),
            (plan.rows_without_target, "cut before their answer"),
        )
        if rows
    ]
    unrolled = f" of {counted(plan.conversations or 0, 'conversation')}" if plan.unrolling_tokens else ""
    text = f"{counted(plan.rows, 'row')}{unrolled} to train on, {count(plan.validation_rows)} to evaluate"
    text += f", {count(plan.test_rows)} to test"
    text += f"; {', '.join(left_out)} left out" if left_out else ""
    text += f"; {count(plan.truncated_rows)} cut at training.maxLength" if plan.truncated_rows else ""
    repeated = f" ({count(plan.unrolling_tokens)} of them repeat earlier turns)" if plan.unrolling_tokens else ""
    return f"{text}; {counted(plan.tokens, 'token')}{repeated}, {counted(plan.total_steps, 'step')}."


def _events(run: Run, status: LoRAFineTuneStatus) -> tuple[Event, ...]:
    """Report what changed from the status as found to the one written; a crash repeats an Event at most once."""
    events = []
    if run.superseded:
        text = "A new run begins: runToken or the training spec changed. The earlier artefact stays in S3."
        events.append(Event("Normal", Reason.RUN_SUPERSEDED, text))
    was_prepared = run.before.holds(ConditionType.PREPARED) and not run.superseded
    if status.holds(ConditionType.PREPARED) and not was_prepared and status.plan is not None:
        events.append(Event("Normal", Reason.DATA_PREPARED, plan_in_words(status.plan)))
    events += _attempt_events(run, status)
    ready, old = status.condition(ConditionType.READY), run.before.condition(ConditionType.READY)
    if ready is not None and (run.superseded or old is None or old.reason != ready.reason):
        bad = status.error is not None or facts_of(ready.reason).warning
        events.append(Event("Warning" if bad else "Normal", ready.reason, ready.message))
    return tuple(events)


def _attempt_events(run: Run, status: LoRAFineTuneStatus) -> list[Event]:
    told = set() if run.superseded else {a.pod for a in run.before.attempts if a.end_time is not None}
    events = []
    for attempt in status.attempts:
        if attempt.end_time is None or attempt.pod in told or attempt.reason in (None, Reason.SUCCEEDED):
            continue
        if attempt.reason == Reason.REPORT_MISSING:
            continue  # reported when the second look begins
        if status.error is not None and attempt.reason == status.error.code:
            continue  # reported as the failure itself
        kind: Literal["Normal", "Warning"] = "Normal" if attempt.reason == Reason.SUSPENDED else "Warning"
        where = f" at step {attempt.last_step}" if attempt.last_step is not None else ""
        text = f"{attempt.stage} pod {attempt.pod} ended{where}. {attempt.message or ''}"
        events.append(Event(kind, attempt.reason or "", text.strip()))
    return events
