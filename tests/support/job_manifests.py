"""The Jobs that a run gets, and their parts."""

from __future__ import annotations

from typing import Any

from support.run_story import given_training


def jobs(changes: dict[str, Any] | None = None, **platform: Any) -> list[dict[str, Any]]:
    """Make the prepare Job and the train Job of a run; `changes` to the least spec, settings of the platform."""
    story = given_training(changes, **platform)
    return [story.job("prepare"), story.job("train")]


def pod(job: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of the pods of a Job."""
    spec: dict[str, Any] = job["spec"]["template"]["spec"]
    return spec


def container(job: dict[str, Any]) -> dict[str, Any]:
    """Return the only container of the pods of a Job."""
    (only,) = pod(job)["containers"]
    found: dict[str, Any] = only
    return found
