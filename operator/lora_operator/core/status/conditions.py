"""Conditions as the API conventions ask for: each is always present, and keeps its time until it flips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from datetime import datetime
from typing import Literal

from lora_contract.changes import change_condition
from lora_contract.conditions import Condition, ConditionType
from lora_contract.outside import shorten
from lora_contract.reasons import Reason
from lora_contract.times import format_time
from lora_operator.core.run import limits

#: Status, reason and message of a condition.
Fact = tuple[Literal["True", "False", "Unknown"], str, str]


#: Which conditions are True of an object that goes on, is suspended, or has ended; of one whose spec cannot be run.
GOES_ON = frozenset({ConditionType.ACCEPTED, ConditionType.RECONCILING})
SUSPENDED = frozenset({ConditionType.ACCEPTED, ConditionType.SUSPENDED})
COMPLETE = frozenset({ConditionType.ACCEPTED, ConditionType.READY, ConditionType.FINISHED, ConditionType.COMPLETE})
FAILED = frozenset({ConditionType.ACCEPTED, ConditionType.STALLED, ConditionType.FINISHED, ConditionType.FAILED})
REFUSED = FAILED - {ConditionType.ACCEPTED}


def fact(holds: bool, reason: str, message: str = "") -> Fact:
    """Make a condition that holds or not."""
    return ("True" if holds else "False", reason, message)


def condition_facts(
    holds: Set[ConditionType], reason: str, message: str, *, prepared: Fact | None = None
) -> dict[ConditionType, Fact]:
    """State every condition of an object where those in `holds` are True, so that tools never wait for one.

    `prepared`: the condition of that name, which only runs have.
    """
    accepted = ConditionType.ACCEPTED in holds
    facts = {ConditionType.ACCEPTED: fact(True, Reason.SPEC_ACCEPTED) if accepted else fact(False, reason, message)}
    if prepared is not None:
        facts[ConditionType.PREPARED] = prepared
    facts[ConditionType.READY] = fact(ConditionType.READY in holds, reason, message)
    for kind in (ConditionType.RECONCILING, ConditionType.STALLED):
        facts[kind] = fact(kind in holds, reason, message if kind in holds else "")
    suspended = ConditionType.SUSPENDED in holds
    facts[ConditionType.SUSPENDED] = fact(suspended, Reason.SUSPENDED if suspended else Reason.NOT_SUSPENDED)
    for kind in (ConditionType.FINISHED, ConditionType.COMPLETE, ConditionType.FAILED):
        facts[kind] = fact(kind in holds, reason, message if kind in holds else "")
    return facts


def conditions(
    facts: Mapping[ConditionType, Fact], before: Iterable[Condition], *, generation: int, now: datetime
) -> list[Condition]:
    """Build the conditions that state these facts; `before` are those that were written last."""
    known = {condition.type: condition for condition in before}
    found = []
    for kind, (status, reason, message) in facts.items():
        old = known.get(kind)
        flipped = old is None or old.status != status
        found.append(
            Condition(
                type=kind,
                status=status,
                reason=reason,
                message=shorten(message, limits.LONGEST_MESSAGE),
                last_transition_time=format_time(now) if old is None or flipped else old.last_transition_time,
                observed_generation=generation,
            )
        )
    return found


def latched_conditions(before: Iterable[Condition], *, generation: int, now: datetime) -> list[Condition]:
    """Keep the conditions of a finished object as they were, but let Stalled say again what Failed says.

    It says otherwise where a decision about the object raised and now no longer does.
    """
    known = {condition.type: change_condition(condition, observed_generation=generation) for condition in before}
    failed = known.get(ConditionType.FAILED)
    if failed is not None and ConditionType.STALLED in known:
        end: Fact = (failed.status, failed.reason, failed.message)
        (stalled,) = conditions({ConditionType.STALLED: end}, known.values(), generation=generation, now=now)
        known[ConditionType.STALLED] = stalled
    return list(known.values())


def undecided(before: Iterable[Condition], defect: str, *, generation: int, now: datetime) -> list[Condition]:
    """Set Stalled on an object about which the operator fails to decide; the other conditions stay."""
    text = (
        f"The operator cannot decide what to do here ({defect}). It is a defect: report it with the operator's log."
        " The operator tries again; what runs goes on. A changed spec, or an upgrade of the operator, may end this."
    )
    known = {condition.type: condition for condition in before}
    told = {ConditionType.STALLED: fact(True, Reason.INTERNAL_ERROR, text)}
    (stalled,) = conditions(told, known.values(), generation=generation, now=now)
    return list((known | {ConditionType.STALLED: stalled}).values())
