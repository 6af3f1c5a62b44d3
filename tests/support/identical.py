"""Runs with the identity of another one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from lora_operator.core.observe.observed import IdenticalRun, Identity
from support.pod_reports import PREPARED, RUN_ID
from support.run_story import Story, given_finetune
from support.specs import BASE
from support.story import START

#: Reconciling of a run that waits for an identical one.
WAITS = ("True", "IdenticalRunTraining")
DEFAULT_ENDPOINT = "http://s3.example:8333"
SAME = Identity("team-a", RUN_ID, BASE["output"]["uri"], DEFAULT_ENDPOINT)


def another(**changes: Any) -> IdenticalRun:
    """A run of the same namespace, older by a minute, that trains."""
    fields: dict[str, Any] = {
        "identity": SAME,
        "name": "first",
        "uid": "0",
        "created": START - timedelta(minutes=1),
        "queue": None,
        "started": True,
        "running": True,
        "refused": False,
    }
    return IdenticalRun(**(fields | changes))


def prepared(*others: IdenticalRun) -> Story:
    """A run whose prepare has just ended, and the others that have its identity."""
    story = given_finetune().decides().after(2).stage_succeeds("prepare", PREPARED)
    story.identical = others
    return story.decides()
