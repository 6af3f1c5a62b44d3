"""A resource that was deleted while its news was still on the way gets no further Job."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from lora_operator.effects.api.event_recorder import EventRecorder
from lora_operator.effects.api.kube import Kube, Page
from lora_operator.effects.kinds import Key, Kind
from lora_operator.effects.memory.cache import Cache
from lora_operator.reconcile.runs import RunReconciler
from support.pod_reports import PREPARED
from support.run_story import Story, given_finetune


class Server:
    """An API server that holds one resource, or none, and notes what it is asked to create."""

    def __init__(self, resource: dict[str, Any] | None) -> None:
        self.resource = resource
        self.created: list[str] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def get(self, kind: Kind, key: Key) -> dict[str, Any] | None:
        return self.resource

    async def pages(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> AsyncIterator[Page]:
        """List the Jobs and pods of the resource: there are none any more."""
        yield Page([], 100)

    async def warnings(self, namespace: str, job: str) -> list[Any]:
        return []

    async def create(self, kind: Kind, namespace: str, manifest: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        self.created.append(manifest["metadata"]["labels"]["lora-operator.dev/stage"])
        return {**manifest, "metadata": {**manifest["metadata"], "uid": "new", "resourceVersion": "100"}}

    async def patch_status(self, kind: Kind, key: Key, patch: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        assert self.resource is not None
        status = {**(self.resource.get("status") or {}), **patch}
        version = str(int(self.resource["metadata"]["resourceVersion"]) + 1)
        self.resource = {
            **self.resource,
            "metadata": {**self.resource["metadata"], "resourceVersion": version},
            "status": status,
        }
        return self.resource


def given_a_prepared_run() -> Story:
    """Prepare is done and told; the train Job is not created yet."""
    story = given_finetune().decides().after(2).stage_succeeds("prepare", PREPARED).decides()
    story.jobs = {name: job for name, job in story.jobs.items() if "-train-" not in name}
    return story


async def jobs_created(known: dict[str, Any], on_the_server: dict[str, Any] | None) -> list[str]:
    """The stages whose Jobs are created for a resource that is known in one state and exists in another."""
    cache, server = Cache(), Server(on_the_server)
    cache.put(Kind.FINETUNE, known)
    events = EventRecorder(cast("Kube", server), "test")
    settings = given_finetune(network_policies=False).settings
    reconciler = RunReconciler(cache=cache, kube=cast("Kube", server), events=events, settings=settings)
    await reconciler.reconcile(Key("team-a", "triage"))
    return server.created


async def test_a_resource_that_stays_gets_its_train_job() -> None:
    body = given_a_prepared_run().body
    assert await jobs_created(body, body) == ["train"]


async def test_a_resource_on_its_way_out_gets_no_train_job() -> None:
    body = given_a_prepared_run().body
    metadata = {**body["metadata"], "deletionTimestamp": "2026-01-02T03:05:00Z", "resourceVersion": "2"}
    assert await jobs_created(body, {**body, "metadata": metadata}) == []


async def test_a_resource_that_is_gone_gets_no_train_job() -> None:
    assert await jobs_created(given_a_prepared_run().body, None) == []


async def test_a_new_resource_of_the_same_name_gets_no_job_of_the_old_one() -> None:
    body = given_a_prepared_run().body
    another = {**body, "metadata": {**body["metadata"], "uid": "another"}, "status": {}}
    assert "train" not in await jobs_created(body, another)
