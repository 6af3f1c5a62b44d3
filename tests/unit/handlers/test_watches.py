"""Which kinds are served is asked of an API server that may be overloaded; the watches begin again all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

import pytest

from lora_operator.effects.errors import ExpectedError
from lora_operator.effects.kinds import REQUIRED, Kind
from lora_operator.handlers import watches
from lora_operator.handlers.watches import EtcdRestoredError, Watches
from lora_operator.settings import Settings
from support.story import settings


class ApiServer:
    """Serves all kinds; says so only while it `answers`, and the first time to each second question alone."""

    def __init__(self) -> None:
        self.answers = True
        self.overloaded = False
        self.revisions: list[int] = []
        self._questions = 0

    async def serves(self, _kind: Kind) -> bool:
        self._questions += 1
        if not self.answers or (self.overloaded and self._questions % 2):
            raise ExpectedError("503 made up")
        return True

    async def revision(self, _namespace: str | None) -> int:
        return self.revisions.pop(0) if self.revisions else 1


class Receiver:
    """Hears of nothing that this test asks about."""

    def changed(self, kind: Kind, body: Mapping[str, Any]) -> None: ...
    def deleted(self, kind: Kind, body: Mapping[str, Any]) -> None: ...
    def served(self, kinds: frozenset[Kind]) -> None: ...
    def listed(self, kind: Kind, namespace: str | None) -> None: ...
    def failed(self) -> None: ...


class Life:
    """One life of kopf, which ends when the test says so."""

    lives: list[Life]
    last_heartbeat = 0.0

    def __init__(self, kinds: Collection[Kind], _settings: Settings, *_: Callable[..., None]) -> None:
        self.kinds = kinds
        self.ended = asyncio.Event()
        Life.lives.append(self)

    async def ended_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        return self.ended.is_set()

    async def stop(self) -> None:
        return


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    Life.lives = []
    monkeypatch.setattr(watches, "KopfThread", Life)
    for name in ("_FIRST_ANSWER_SECONDS", "_RESTART_SECONDS", "_ASK_AGAIN_SECONDS"):
        monkeypatch.setattr(watches, name, 0.001)


async def until_lives(count: int) -> None:
    async with asyncio.timeout(5):
        while len(Life.lives) < count:  # noqa: ASYNC110 - the code under test tells nobody
            await asyncio.sleep(0.001)


async def test_watches_that_ended_begin_again_while_nobody_says_what_is_served() -> None:
    api = ApiServer()
    running = asyncio.create_task(Watches(settings=settings(), kube=api, receiver=Receiver()).run())  # type: ignore[arg-type]
    await until_lives(1)
    api.answers = False
    Life.lives[0].ended.set()

    await until_lives(2)

    assert set(Life.lives[1].kinds) == set(Kind)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_at_the_start_what_was_answered_is_not_asked_again() -> None:
    api = ApiServer()
    api.overloaded = True
    running = asyncio.create_task(Watches(settings=settings(), kube=api, receiver=Receiver()).run())  # type: ignore[arg-type]

    await until_lives(1)

    assert set(Life.lives[0].kinds) >= REQUIRED
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_an_operator_whose_api_server_went_back_begins_anew() -> None:
    api = ApiServer()
    api.revisions = [7, 9, 5]

    with pytest.raises(EtcdRestoredError, match="from version 9 to 5"):
        await Watches(settings=settings(), kube=api, receiver=Receiver()).run()  # type: ignore[arg-type]
