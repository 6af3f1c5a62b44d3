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

    def stalled(self) -> tuple[str, str]:
        found = next(c for c in self.body["status"]["conditions"] if c["type"] == "Stalled")
        return found["status"], found["reason"]


async def test_it_is_told_once_and_goes_away(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    kube = StatusKube(resource("triage", "1", changed(REFUSED)))
    cache = Cache()
    cache.put(Kind.FINETUNE, kube.body)
    events = EventRecorder(cast("Kube", kube), "operator")
    reconciler = RunReconciler(cache=cache, kube=cast("Kube", kube), events=events, settings=settings())

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


def fails(*_: object) -> None:
    raise ZeroDivisionError("secret words")
