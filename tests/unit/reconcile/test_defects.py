"""A decision that raises: the object says so once, the log has one trace, and a later decision ends it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import pytest

from lora_operator.effects.api.event_recorder import EventRecorder
from lora_operator.effects.api.kube import Kube
from lora_operator.effects.api.merge_patch import difference
from lora_operator.effects.kinds import Key, Kind
from lora_operator.effects.memory.cache import Cache
from lora_operator.reconcile import runs
from lora_operator.reconcile.loop import UndecidedError
from lora_operator.reconcile.runs import RunReconciler
from support.pod_reports import TRAINED
from support.run_story import given_training
from support.specs import changed
from support.story import START, resource, settings

KEY = Key("team-a", "triage")
REFUSED = {"storage.endpoint": "http://elsewhere.example"}


@dataclass
class StatusKube:
    """An API server that takes statuses and nothing else."""

    body: dict[str, Any]
    writes: list[Mapping[str, Any]] = field(default_factory=list)

    def now(self) -> datetime:
        return START

    async def patch_status(self, kind: Kind, key: Key, patch: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        self.writes.append(patch)
        body = copy.deepcopy(self.body)
        body["status"] = body.get("status", {}) | patch
        body["metadata"]["resourceVersion"] = str(len(self.writes) + 1)
        self.body = body
        return body

    def condition(self, kind: str) -> tuple[str, str]:
        found = next(c for c in self.body["status"]["conditions"] if c["type"] == kind)
        return found["status"], found["reason"]

    def stalled(self) -> tuple[str, str]:
        return self.condition("Stalled")


def reconciler_of(kube: StatusKube) -> RunReconciler:
    """A reconciler that knows the resource of an API server."""
    cache = Cache()
    cache.put(Kind.FINETUNE, kube.body)
    events = EventRecorder(cast("Kube", kube), "operator")
    return RunReconciler(cache=cache, kube=cast("Kube", kube), events=events, settings=settings())


async def test_it_is_told_once_and_goes_away(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    kube = StatusKube(resource("triage", "1", changed(REFUSED)))
    reconciler = reconciler_of(kube)

    with monkeypatch.context() as patched:
        patched.setattr(runs, "decide", fails)
        for _ in range(3):
            with pytest.raises(UndecidedError):
                await reconciler.reconcile(KEY)

    assert kube.stalled() == ("True", "InternalError")
    assert len(kube.writes) == 1
    assert sum(1 for record in caplog.records if record.exc_info) == 1
    message = kube.writes[0]["conditions"][0]["message"]
    assert "report it" in message
    assert "secret words" not in message, "what raised may hold anything"

    await reconciler.reconcile(KEY)
    assert kube.stalled() == ("True", "EndpointNotAllowed")
    assert difference(kube.body["status"], kube.body["status"]) == {}


async def test_a_run_that_ended_says_that_it_is_stuck_and_what_it_became(monkeypatch: pytest.MonkeyPatch) -> None:
    story = given_training().stage_succeeds("train", TRAINED).decides()
    kube = StatusKube(story.body)
    reconciler = reconciler_of(kube)

    with monkeypatch.context() as patched:
        patched.setattr(runs, "decide", fails)
        with pytest.raises(UndecidedError):
            await reconciler.reconcile(KEY)

    assert kube.condition("Stalled") == ("True", "InternalError")
    assert kube.condition("Complete") == ("True", "AdapterPublished")
    assert kube.body["status"]["phase"] == "Complete"

    await reconciler.reconcile(KEY)
    assert kube.condition("Stalled") == ("False", "AdapterPublished")


def fails(*_: object) -> None:
    raise ZeroDivisionError("secret words")
