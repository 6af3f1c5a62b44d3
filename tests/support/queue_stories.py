"""Runs that wait in a queue of Kueue, or train in one."""

from __future__ import annotations

from typing import Any

from support.pod_reports import PREPARED
from support.run_story import Story, given_finetune

QUEUE = {"scheduling.queueName": "team-a"}


def queued(changes: dict[str, Any] | None = None) -> Story:
    """A run whose train Job waits in a queue."""
    story = given_finetune(QUEUE | (changes or {})).decides().after(1)
    story.kueue_installed = True
    return story.stage_succeeds("prepare", PREPARED).decides()


def training_in_a_queue() -> Story:
    """A run that trains on quota of a queue."""
    return queued().workload().kueue_admits().after(1).pod_runs("train").decides()
