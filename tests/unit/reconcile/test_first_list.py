"""Before the first look at any run all kinds have been listed, those that come with Kueue too."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import cast

from lora_operator.effects.api.kube import Kube, Page
from lora_operator.effects.kinds import REQUIRED, Key, Kind
from lora_operator.effects.memory.cache import Cache
from lora_operator.effects.memory.work_queue import WorkQueue
from lora_operator.handlers.cache_feeder import CacheFeeder
from support.story import settings


class Server:
    """An API server without objects that notes which kinds are listed."""

    def __init__(self) -> None:
        self.listed: list[Kind] = []

    async def pages(self, kind: Kind, namespace: str | None) -> AsyncIterator[Page]:
        self.listed.append(kind)
        yield Page([], 1)


async def _look(key: Key) -> None:
    return None


def feeder_of(server: Server) -> CacheFeeder:
    return CacheFeeder(
        cache=Cache(),
        kube=cast("Kube", server),
        queue=WorkQueue(_look, workers=1),
        sweeps=WorkQueue(_look, workers=1),
        settings=settings(network_policies=False),
    )


async def test_nothing_is_looked_at_before_the_kinds_are_known() -> None:
    server = Server()
    feeder = feeder_of(server)
    first = asyncio.create_task(feeder.resync())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not first.done()
    assert not feeder.synced

    feeder.served(REQUIRED | {Kind.WORKLOAD})
    await first
    assert Kind.WORKLOAD in server.listed
    assert feeder.synced


async def test_two_who_ask_before_anything_was_listed_get_one_list() -> None:
    server = Server()
    feeder = feeder_of(server)
    at_the_start, of_the_new_leader = asyncio.create_task(feeder.resync()), asyncio.create_task(feeder.resync())
    await asyncio.sleep(0)

    feeder.served(REQUIRED)
    await asyncio.gather(at_the_start, of_the_new_leader)
    assert Counter(server.listed) == Counter(REQUIRED)


async def test_who_asks_after_a_list_began_gets_a_newer_one() -> None:
    server = Server()
    feeder = feeder_of(server)
    feeder.served(REQUIRED)
    await feeder.resync()
    await feeder.resync()
    assert Counter(server.listed) == Counter([*REQUIRED, *REQUIRED])
