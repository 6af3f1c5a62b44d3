"""From an outcome to the status with its conditions, and to the Events that tell of the change."""

from __future__ import annotations

from typing import Literal

from lora_contract.changes import change_status
from lora_contract.reasons import REASONS, Reason
from lora_contract.status import ConditionType, LoRAFineTuneStatus, PlanStatus
from lora_contract.times import format_time, parse_time
from lora_operator.core.record import usage
from lora_operator.core.run.decision import Action, DeleteJob, Event, RunDecision
from lora_operator.core.run.run import Kind, Outcome, Run
from lora_operator.core.status.conditions import Fact, conditions, fact, latched_conditions


def conclude(run: Run, outcome: Outcome) -> RunDecision:
    """The decision that an outcome stands for."""
    if outcome.kind is Kind.ASKING:
        return RunDecision(run.before, outcome.actions)
    status = _latched(run, outcome) if outcome.kind is Kind.LATCHED else _status(run, outcome)
    events = outcome.events if outcome.kind is Kind.LATCHED else (*outcome.events, *_events(run, outcome, status))
    if outcome.kind in (Kind.COMPLETE, Kind.FAILED):
        # The status first: it holds the result of what is deleted. The next look is due at once: no event asks for it.
        deletions, _ = clean_up(run, status)
        follow_up = tuple(action for action in deletions if action not in outcome.actions)
        return RunDecision(status, outcome.actions, events, requeue_after=0.0, follow_up=follow_up)
    return RunDecision(status, outcome.actions, events, outcome.look_again, follow_up=outcome.follow_up)


def clean_up(
    run: Run, status: LoRAFineTuneStatus, *, needed: str | None = None
) -> tuple[tuple[Action, ...], float | None]:
    """Deletions of what still runs of a finished run, and of the rest after spec.ttlSecondsAfterFinished.

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


def _status(run: Run, outcome: Outcome) -> LoRAFineTuneStatus:
    status, completion_time = outcome.status, None
    if outcome.kind is Kind.REFUSED:
        completion_time = (run.before.refused and run.before.completion_time) or format_time(run.now)
    elif outcome.kind in (Kind.COMPLETE, Kind.FAILED):
        ended = outcome.ended or run.now
        completion_time = format_time(ended)
        status = usage.add_usage(status, "queue_seconds" if run.prepared else "staging_seconds", ended)
    generation = run.finetune.generation
    return change_status(
        status,
        observed_generation=generation,
        phase=outcome.phase,
        conditions=conditions(_facts(outcome), run.before.conditions, generation=generation, now=run.now),
        queue=outcome.queue,
        error=outcome.error,
        completion_time=completion_time,
    )


def _latched(run: Run, outcome: Outcome) -> LoRAFineTuneStatus:
    """The status of a finished run: it takes notice of a changed spec and changes in nothing else."""
    generation = run.finetune.generation
    seen = latched_conditions(outcome.status.conditions, generation=generation, now=run.now)
    return change_status(outcome.status, observed_generation=generation, phase=outcome.phase, conditions=seen)


def _facts(outcome: Outcome) -> dict[ConditionType, Fact]:
    """Every condition, from the outcome alone; nothing is left unsaid, so tools never wait for one."""
    kind, reason, message = outcome.kind, str(outcome.reason), outcome.message
    complete, refused = kind is Kind.COMPLETE, kind is Kind.REFUSED
    failed = refused or kind is Kind.FAILED
    accepted = fact(False, reason, message) if refused else fact(True, Reason.SPEC_ACCEPTED)
    suspended = kind is Kind.SUSPENDED
    return {
        ConditionType.ACCEPTED: accepted,
        ConditionType.PREPARED: _prepared(outcome),
        ConditionType.READY: fact(complete, reason, message),
        ConditionType.RECONCILING: fact(kind is Kind.ACTIVE, reason, message if kind is Kind.ACTIVE else ""),
        ConditionType.STALLED: fact(failed, reason, message if failed else ""),
        ConditionType.SUSPENDED: fact(suspended, Reason.SUSPENDED if suspended else Reason.NOT_SUSPENDED),
        ConditionType.FINISHED: fact(complete or failed, reason, message if complete or failed else ""),
        ConditionType.COMPLETE: fact(complete, reason, message if complete else ""),
        ConditionType.FAILED: fact(failed, reason, message if failed else ""),
    }


def _prepared(outcome: Outcome) -> Fact:
    status = outcome.status
    if outcome.kind is Kind.COMPLETE and outcome.reason is Reason.ADOPTED_EXISTING_ARTIFACT:
        return ("True", outcome.reason, "")
    if status.run_id is not None and status.plan is not None:
        return ("True", Reason.DATA_PREPARED, plan_in_words(status.plan))
    if outcome.kind is Kind.ACTIVE:
        return ("False", Reason.PREPARING, "")
    return ("False", outcome.reason, "")


def plan_in_words(plan: PlanStatus) -> str:
    """What prepare found, in one sentence."""
    left_out = [
        f"{count} {what}"
        for count, what in (
            (plan.bad_rows, "bad"),
            (plan.duplicate_rows, "repeated"),
            (plan.rows_without_target, "cut before their answer"),
        )
        if count
    ]
    unrolled = f" of {plan.conversations} conversations" if plan.unrolling_tokens else ""
    text = f"{plan.rows} rows{unrolled} to train on, {plan.validation_rows} to evaluate, {plan.test_rows} to test"
    text += f"; {', '.join(left_out)} left out" if left_out else ""
    text += f"; {plan.truncated_rows} cut at training.maxLength" if plan.truncated_rows else ""
    repeated = f" ({plan.unrolling_tokens} of them repeat earlier turns)" if plan.unrolling_tokens else ""
    return f"{text}; {plan.tokens} tokens{repeated}, {plan.total_steps} steps."


def _events(run: Run, outcome: Outcome, status: LoRAFineTuneStatus) -> list[Event]:
    """What changed between the status as found and as written; a crash in between repeats an Event at most once."""
    events = []
    if run.superseded:
        text = "A new run begins: runToken or the training spec changed. The earlier artefact stays in S3."
        events.append(Event("Normal", Reason.RUN_SUPERSEDED, text))
    if _turned_true(run, status, ConditionType.PREPARED) and status.plan is not None:
        events.append(Event("Normal", Reason.DATA_PREPARED, plan_in_words(status.plan)))
    events += _attempt_events(run, outcome, status)
    ready, old = status.condition(ConditionType.READY), run.before.condition(ConditionType.READY)
    if ready is not None and (run.superseded or old is None or old.reason != ready.reason):
        bad = outcome.kind in (Kind.FAILED, Kind.REFUSED) or REASONS[outcome.reason].warning
        events.append(Event("Warning" if bad else "Normal", ready.reason, ready.message))
    return events


def _turned_true(run: Run, status: LoRAFineTuneStatus, kind: ConditionType) -> bool:
    new, old = status.condition(kind), run.before.condition(kind)
    return new is not None and new.status == "True" and (run.superseded or old is None or old.status != "True")


def _attempt_events(run: Run, outcome: Outcome, status: LoRAFineTuneStatus) -> list[Event]:
    told = set() if run.superseded else {a.pod for a in run.before.attempts if a.end_time is not None}
    events = []
    for attempt in status.attempts:
        if attempt.end_time is None or attempt.pod in told or attempt.reason in (None, Reason.SUCCEEDED):
            continue
        if attempt.reason == Reason.REPORT_MISSING:
            continue  # told when the second look begins
        if outcome.kind is Kind.FAILED and attempt.reason == outcome.reason:
            continue  # the failure itself is told
        kind: Literal["Normal", "Warning"] = "Normal" if attempt.reason == Reason.SUSPENDED else "Warning"
        where = f" at step {attempt.last_step}" if attempt.last_step is not None else ""
        text = f"{attempt.stage} pod {attempt.pod} ended{where}. {attempt.message or ''}"
        events.append(Event(kind, attempt.reason or "", text.strip()))
    return events
