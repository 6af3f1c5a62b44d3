"""Objects at every point of their way, as the API server shows them, and how tools that judge health find each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lora_contract import names
from lora_contract.conditions import Condition
from lora_contract.progress import METRIC_PUBLISHING
from lora_contract.status import Phase
from lora_operator.core.observe.resource import CreateError
from lora_operator.core.run.decision import CreateJob
from lora_operator.core.status.conditions import undecided
from support.pod_reports import ARTIFACT, PREPARED, TRAINED, failed_report
from support.queue_stories import queued
from support.run_story import Story, given_finetune, given_training
from support.story import START
from support.sweep_stories import SweepStory, given_sweep

#: What the CRD puts into the status of an object that nobody has looked at.
_UNSEEN = {"observedGeneration": -1}


@dataclass(frozen=True)
class Health:
    """How four tools find one object."""

    argocd: str
    #: Flux with the expressions that wait for the end, and with those that wait for the spec to be accepted.
    flux_complete: str
    flux_accepted: str
    #: `flux` and `helm` without expressions of ours.
    kstatus: str


_NEW = Health("Progressing", "InProgress", "InProgress", "InProgress")
_UNDER_WAY = Health("Progressing", "InProgress", "Current", "InProgress")
_SUSPENDED = Health("Suspended", "InProgress", "Current", "InProgress")
_COMPLETE = Health("Healthy", "Current", "Current", "Current")
_FAILED = Health("Degraded", "Failed", "Current", "Failed")
_REFUSED = Health("Degraded", "Failed", "Failed", "Failed")


@dataclass(frozen=True)
class Case:
    """One object: the name of its file, and what it is in words."""

    name: str
    words: str
    make: Callable[[], dict[str, Any]]
    health: Health


def run_cases() -> list[Case]:
    """A LoRAFineTune at every point of its way."""
    return [
        Case("new", "new: the operator has not looked at it yet", lambda: _run(given_finetune()), _NEW),
        Case("preparing", "being prepared", lambda: _run(given_finetune().decides()), _UNDER_WAY),
        Case("waiting_in_queue", "waiting in a queue of Kueue", lambda: _run(queued()), _UNDER_WAY),
        Case("pending_for_object_quota", "waiting for the quota of Jobs", lambda: _run(_without_quota()), _UNDER_WAY),
        Case(
            "waiting_for_secret",
            "waiting for a Secret that does not exist",
            lambda: _run(_without_secret()),
            _UNDER_WAY,
        ),
        Case("training", "training", lambda: _run(given_training()), _UNDER_WAY),
        Case("publishing", "publishing its adapter", lambda: _run(_publishing()), _UNDER_WAY),
        Case("suspending", "being suspended: a pod saves its checkpoint", lambda: _run(_suspending()), _UNDER_WAY),
        Case(
            "suspended", "suspended", lambda: _run(_suspending().after(60).pod_ends("train", 75).decides()), _SUSPENDED
        ),
        Case("complete", "complete", lambda: _run(_complete()), _COMPLETE),
        Case("adopted", "complete: an equal adapter was adopted", lambda: _run(_adopted()), _COMPLETE),
        Case("failed", "failed", lambda: _run(_failed()), _FAILED),
        Case(
            "refused",
            "refused: the spec cannot be run",
            lambda: _run(given_finetune({"lora.r": 0}).decides()),
            _REFUSED,
        ),
        Case(
            "edited_after_the_end",
            "complete, then edited; not looked at yet",
            lambda: _run(_complete().user_sets({"lora.r": 8})),
            _NEW,
        ),
        Case(
            "edit_seen_after_the_end",
            "complete, then edited; nothing to do",
            lambda: _run(_complete().user_sets({"lora.r": 8}).decides()),
            _COMPLETE,
        ),
        Case(
            "edited_after_failure",
            "failed, then edited; not looked at yet",
            lambda: _run(_failed().user_sets({"lora.r": 8})),
            _NEW,
        ),
        # The operator raises: nothing of the status but Stalled speaks of the object as it is now.
        Case(
            "defect_on_new",
            "new, and the operator cannot decide (`InternalError`)",
            lambda: _defect(_run(given_finetune())),
            Health("Degraded", *["InProgress"] * 3),
        ),
        Case(
            "defect_while_training",
            "training, and the operator cannot decide (`InternalError`)",
            lambda: _defect(_run(given_training())),
            Health("Degraded", "Failed", "Current", "InProgress"),
        ),
        Case(
            "defect_after_the_end",
            "complete, and the operator cannot decide (`InternalError`)",
            lambda: _defect(_run(_complete())),
            _FAILED,
        ),
    ]


def sweep_cases() -> list[Case]:
    """A LoRASweep at every point of its way."""
    return [
        Case("new", "new: the operator has not looked at it yet", lambda: _sweep(given_sweep()), _NEW),
        Case("running", "trials run", lambda: _sweep(given_sweep().decides()), _UNDER_WAY),
        Case("suspended", "suspended", lambda: _sweep(_suspended_sweep()), _SUSPENDED),
        Case("complete", "complete", lambda: _sweep(_ended_sweep(SweepStory.run_completes, 0.5)), _COMPLETE),
        Case("failed", "failed", lambda: _sweep(_ended_sweep(SweepStory.run_fails)), _FAILED),
        Case(
            "refused",
            "refused: the spec cannot be run",
            lambda: _sweep(given_sweep({"maxParallel": 0}).decides()),
            _REFUSED,
        ),
        Case(
            "edited",
            "edited; not looked at yet",
            lambda: _sweep(given_sweep().decides().user_sets({"maxParallel": 1})),
            _NEW,
        ),
        Case(
            "defect_on_new",
            "new, and the operator cannot decide (`InternalError`)",
            lambda: _defect(_sweep(given_sweep())),
            Health("Degraded", *["InProgress"] * 3),
        ),
    ]


def _run(story: Story) -> dict[str, Any]:
    return _shown(names.KIND, story.body)


def _sweep(story: SweepStory) -> dict[str, Any]:
    return _shown(names.SWEEP_KIND, story.body)


def _shown(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": names.API_VERSION, "kind": kind, "status": _UNSEEN} | copy.deepcopy(body)


def _without_quota() -> Story:
    story = given_finetune()
    (create,) = story.asked().actions
    assert isinstance(create, CreateJob)
    story.create_error = CreateError(create.name, 403, "exceeded quota: count/jobs.batch", story.monotonic)
    return story.decides()


def _without_secret() -> Story:
    said = 'secret "s3" not found'
    story = given_finetune({"storage.secretName": "s3"}).decides().after(2)
    return story.pod_waits("prepare", "CreateContainerConfigError", said).decides()


def _publishing() -> Story:
    return given_training().reports_progress(24, **{METRIC_PUBLISHING: 1}).decides()


def _suspending() -> Story:
    return given_training().user_sets({"suspend": True}).decides().pod_is_stopped("train").decides()


def _complete() -> Story:
    return given_training().stage_succeeds("train", TRAINED).decides()


def _adopted() -> Story:
    found = PREPARED.model_copy(update={"adopted": True, "artifact": ARTIFACT})
    return given_finetune().decides().after(2).stage_succeeds("prepare", found).decides()


def _failed() -> Story:
    report = failed_report("the loss is not finite at step 3")
    return given_training().pod_ends("train", 81, report).job_ends("train", "Failed", "PodFailurePolicy").decides()


def _suspended_sweep() -> SweepStory:
    story = given_sweep().decides().user_sets({"suspend": True}).decides()
    for number in range(len(story.runs)):
        story.run_is(number, Phase.SUSPENDED)
    return story.decides()


def _ended_sweep(end: Callable[..., SweepStory], *words: float) -> SweepStory:
    story = given_sweep({"maxParallel": 4}).decides()
    for number in range(len(story.runs)):
        end(story, number, *words)
    return story.decides()


def _defect(body: dict[str, Any]) -> dict[str, Any]:
    """The object once a decision about it raised, as `reconcile/loop.py` writes it."""
    before = [Condition.model_validate(condition) for condition in body["status"].get("conditions", [])]
    told = undecided(before, "KeyError", generation=body["metadata"]["generation"], now=START)
    return body | {"status": body["status"] | {"conditions": [condition.dump() for condition in told]}}
