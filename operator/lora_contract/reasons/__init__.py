"""Reasons of conditions, Events and attempts. They are API: users match on them, docs/reasons.md explains each.

A new reason is a word in `reason.py` and a row in one of the tables; `make generate` writes the page.
"""

from __future__ import annotations

from collections.abc import Mapping

from lora_contract.reasons import ends, of_events, of_pods, on_the_way, to_correct
from lora_contract.reasons.facts import AGAIN, ReasonFacts
from lora_contract.reasons.reason import Reason

__all__ = ["AGAIN", "REASONS", "REASON_OF_EXIT_CODE", "TABLES", "Reason", "ReasonFacts", "facts_of"]

#: The tables in the order of the page, by the name of their place in it.
TABLES: Mapping[str, Mapping[Reason, ReasonFacts]] = {
    "on the way": on_the_way.REASONS,
    "to correct": to_correct.REASONS,
    "of pods": of_pods.REASONS,
    "ends": ends.REASONS,
    "of events": of_events.REASONS,
}
#: What is known of each reason.
REASONS: Mapping[Reason, ReasonFacts] = {reason: row for table in TABLES.values() for reason, row in table.items()}
#: What each exit code of the trainer image is called on the object.
REASON_OF_EXIT_CODE = {row.exit_code: reason for reason, row in REASONS.items() if row.exit_code is not None}
_BY_WORD: Mapping[str, ReasonFacts] = {str(reason): row for reason, row in REASONS.items()}
_UNKNOWN = ReasonFacts(meaning="", advice="")


def facts_of(word: str | None) -> ReasonFacts:
    """Look up what is known of the reason in a status; another version may have written one that this one lacks."""
    return _BY_WORD.get(word or "", _UNKNOWN)
