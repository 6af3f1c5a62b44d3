"""What a watch begins with is listed again by the operator itself: what is gone goes within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from lora_operator.effects.api.client import UnreachableError
from lora_operator.effects.api.kube import Kube, Page
from lora_operator.effects.kinds import REQUIRED, Key, Kind
from lora_operator.effects.memory.cache import Cache
from lora_operator.effects.memory.work_queue import WorkQueue
from lora_operator.handlers.cache_feeder import CacheFeeder
from support.cached import versioned
from support.run_story import Story, given_finetune
from support.story import settings


class Cluster:
    """What the API server lists. `away`: how many lists fail next."""

    def __init__(self, story: Story) -> None:
        self.objects: dict[Kind, list[dict[str, Any]]] = {
            Kind.FINETUNE: [versioned(story.body)],
            Kind.JOB: [versioned(job) for job in story.jobs.values()],
        }
        self.lists: list[Kind] = []
        self.away = 0

    async def pages(self, kind: Kind, namespace: str | None) -> AsyncIterator[Page]:
        """One page."""
        self.lists.append(kind)
        if self.away:
            self.away -= 1
            raise UnreachableError("away")
        yield Page(self.objects.get(kind, []), int(versioned({"metadata": {}})["metadata"]["resourceVersion"]))


class Scene:
    """The handlers of an operator in whose cluster a run prepares."""

    def __init__(self) -> None:
        self.cluster = Cluster(given_finetune().decides())
        self.cache = Cache()
        self.looks: list[Key] = []
        self.queue: WorkQueue[Key] = WorkQueue(self._look, workers=1)
        self.feeder = CacheFeeder(
            cache=self.cache,
            kube=cast("Kube", self.cluster),
            queue=self.queue,
            sweeps=WorkQueue(self._look, workers=1),
            settings=settings(resync_seconds=3600, network_policies=False),
        )

    async def _look(self, key: Key) -> None:
        self.looks.append(key)

    @property
    def jobs(self) -> int:
        return len(self.cache.jobs)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - nobody could set an event
            await asyncio.sleep(0)


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """Everything was listed once, and the Job was deleted since without a word."""
    monkeypatch.setattr("lora_operator.handlers.cache_feeder._RETRY_SECONDS", 0.01)
    scene = Scene()
    scene.feeder.served(REQUIRED)
    running = [asyncio.create_task(each) for each in (scene.feeder.run(), scene.queue.run())]
    await until(lambda: scene.feeder.synced and bool(scene.looks))
    assert scene.jobs == 1
    scene.cluster.objects[Kind.JOB].clear()
    scene.cluster.lists.clear()
    scene.looks.clear()
    yield scene
    for task in running:
        task.cancel()
    await asyncio.wait(running)


async def test_a_watch_that_begins_anew_takes_what_is_gone_along(scene: Scene) -> None:
    scene.feeder.listed(Kind.JOB, None)

    await until(lambda: bool(scene.looks))

    assert scene.jobs == 0
    assert scene.looks == [Key("team-a", "triage")]
    assert scene.cluster.lists == [Kind.JOB], "only what was listed anew"


async def test_it_is_tried_until_the_api_server_answers(scene: Scene) -> None:
    scene.cluster.away = 3
    scene.feeder.listed(Kind.JOB, None)

    await until(lambda: scene.jobs == 0)

    assert scene.cluster.lists == [Kind.JOB] * 4


async def test_a_watch_of_a_kind_that_is_not_served_any_more_is_not_listed(scene: Scene) -> None:
    scene.feeder.listed(Kind.WORKLOAD, None)
    scene.feeder.listed(Kind.JOB, None)

    await until(lambda: scene.jobs == 0)

    assert scene.cluster.lists == [Kind.JOB]


async def test_where_the_watches_fail_everything_is_listed(scene: Scene) -> None:
    scene.feeder.failed()

    await until(lambda: scene.jobs == 0)

    assert scene.cluster.lists[:3] == [Kind.FINETUNE, Kind.JOB, Kind.POD]
