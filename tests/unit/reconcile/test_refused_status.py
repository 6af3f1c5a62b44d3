"""A status write that the schema refuses: what is refused is left out and named, the rest is told all the same."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import pytest

from lora_operator.core.observe.observed import FineTune
from lora_operator.effects import metrics
from lora_operator.effects.api.client import ApiError, Cause
from lora_operator.effects.api.event_recorder import EventRecorder
from lora_operator.effects.api.kube import Kube
from lora_operator.effects.kinds import Key, Kind
from lora_operator.effects.memory.cache import Cache
from lora_operator.reconcile.runs import RunReconciler
from support.crd_schema import STATUS, violations
from support.specs import changed
from support.story import START, resource, settings

KEY = Key("team-a", "triage")
#: Nothing is created for it: the status is all that is written.
SPEC = changed({"storage.endpoint": "http://elsewhere.example"})


@dataclass
class OldServer:
    """An API server whose schema is that of another release."""

    body: dict[str, Any]
    schema: dict[str, Any]
    refusals: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def now(self) -> datetime:
        return START

    async def patch_status(self, kind: Kind, key: Key, patch: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        body = copy.deepcopy(self.body)
        status = body.get("status", {}) | patch
        body["status"] = {name: value for name, value in status.items() if value is not None}
        body["metadata"]["resourceVersion"] += "1"
        if wrong := list(violations(body["status"], self.schema)):
            self.refusals += wrong
            raise ApiError(422, "Invalid", "; ".join(wrong), causes=tuple(map(cause_of, wrong)))
        self.body = body
        return body

    async def create_event(self, namespace: str, event: Mapping[str, Any]) -> None:
        self.told.append(event["reason"])


def cause_of(violation: str) -> Cause:
    """A violation as the API server names it: indexes stand in brackets."""
    path, _, message = violation.partition(": ")
    name = "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in path.split(".")).lstrip(".")
    return Cause(name, message)


def schema_without(change: str) -> dict[str, Any]:
    """The schema of a release that did not know something yet."""
    schema: dict[str, Any] = copy.deepcopy(STATUS)
    condition = schema["properties"]["conditions"]["items"]["properties"]
    match change:
        case "a phase":
            schema["properties"]["phase"]["enum"].remove("Failed")
        case "a condition":
            condition["type"]["enum"].remove("Stalled")
        case "long messages":
            condition["message"]["maxLength"] = 20
        case "conditions":
            schema["properties"]["conditions"]["type"] = "object"
        case "warnings":
            schema["properties"]["phase"]["enum"].remove("Failed")
            schema["properties"]["warnings"]["type"] = "object"
    return schema


def reconciler_for(server: OldServer, caplog: pytest.LogCaptureFixture) -> RunReconciler:
    caplog.set_level(logging.WARNING)
    cache = Cache()
    cache.put(Kind.FINETUNE, server.body)
    events = EventRecorder(cast("Kube", server), "operator")
    return RunReconciler(cache=cache, kube=cast("Kube", server), events=events, settings=settings())


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ("a phase", "status.phase"),
        ("a condition", "status.conditions[4].type"),
        ("long messages", "status.conditions[0].message"),
        ("conditions", "status.conditions"),
        ("warnings", "status.phase"),
    ],
)
async def test_the_rest_is_written_and_what_is_missing_is_named(
    change: str, lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = OldServer(resource("triage", "1", SPEC), schema_without(change))
    reconciler = reconciler_for(server, caplog)
    before = metrics.STATUS_WRITES.labels(result="refused")._value.get()

    await reconciler.reconcile(KEY)

    status = server.body["status"]
    assert status["error"]["code"] == "EndpointNotAllowed"
    assert status["observedGeneration"] == 1
    if change != "conditions":
        assert {"Failed", "Finished"} <= {c["type"] for c in status["conditions"]}
    if change != "warnings":
        (warning,) = status["warnings"]
        assert lost in warning
        assert "CRD" in warning
    assert metrics.STATUS_WRITES.labels(result="refused")._value.get() > before
    assert sum(lost in record.getMessage() for record in caplog.records) == 1


async def test_it_is_logged_once_and_writes_nothing_again(caplog: pytest.LogCaptureFixture) -> None:
    server = OldServer(resource("triage", "1", SPEC), schema_without("a phase"))
    reconciler = reconciler_for(server, caplog)

    for _ in range(3):
        await reconciler.reconcile(KEY)

    assert server.body["metadata"]["resourceVersion"] == "11"
    assert sum("status.phase" in record.getMessage() for record in caplog.records) == 1


async def test_once_the_crd_is_updated_all_of_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    server = OldServer(resource("triage", "1", SPEC), schema_without("a phase"))
    reconciler = reconciler_for(server, caplog)
    await reconciler.reconcile(KEY)
    server.schema = STATUS

    await reconciler.reconcile(KEY)

    assert server.body["status"]["phase"] == "Failed"
    assert "warnings" not in server.body["status"] or server.body["status"]["warnings"] == []


async def test_what_an_older_crd_does_not_know_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    class Forgetting(OldServer):
        async def patch_status(self, kind: Kind, key: Key, patch: Mapping[str, Any], **_: Any) -> dict[str, Any]:
            return await super().patch_status(kind, key, {k: v for k, v in patch.items() if k != "error"})

    server = Forgetting(resource("triage", "1", SPEC), STATUS)
    reconciler = reconciler_for(server, caplog)

    for _ in range(3):
        await reconciler.reconcile(KEY)

    assert server.body["status"]["phase"] == "Failed"
    assert sum("status.error: unknown to the CRD" in record.getMessage() for record in caplog.records) == 1


async def test_what_is_not_about_the_status_is_an_error_with_an_event(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing(OldServer):
        async def patch_status(self, *_: Any, **__: Any) -> dict[str, Any]:
            raise ApiError(422, "Invalid", "a rule of somebody", causes=(Cause("<nil>", "a rule of somebody"),))

    server = Refusing(resource("triage", "1", SPEC), STATUS)
    reconciler = reconciler_for(server, caplog)

    for _ in range(2):
        with pytest.raises(ApiError):
            await reconciler.reconcile(KEY)

    assert sum("a rule of somebody" in record.getMessage() for record in caplog.records) == 1
    assert reconciler._events._waiting.qsize() == 1


def test_the_story_is_of_a_run_that_is_refused() -> None:
    assert FineTune.from_dict(resource("triage", "1", SPEC)).spec is not None
