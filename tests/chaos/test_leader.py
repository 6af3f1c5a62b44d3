"""The leader is killed ten times, and paused past its Lease, while runs go on: each is worked on once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lora_contract import names
from support import operator
from support.chaos.figures import record
from support.chaos.mirror import RefusedError
from support.chaos.processes import ForkedOperator
from support.chaos.scene import Scene, Site, scene
from support.pods import prepared, trained

_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{operator.ACCOUNT_NAMESPACE}/leases"
_KILLS = 10
_PAUSES = 3
#: A Lease runs for 15 seconds and is looked at every two.
_TAKE_OVER_SECONDS = 40.0


class Replicas:
    """Two operators that share a Lease."""

    def __init__(self, stage: Scene) -> None:
        self._stage = stage
        self.processes: dict[str, ForkedOperator] = {}

    def start(self, pod: str) -> None:
        """Start a replica, or start it again."""
        self.processes[pod] = self._stage.replica(pod).start()

    async def leader(self, *, other_than: str = "") -> str:
        """The replica that holds the Lease; waits for one."""
        async with asyncio.timeout(_TAKE_OVER_SECONDS):
            while True:
                holder = await self._holder()
                if holder in self.processes and holder != other_than:
                    return holder
                await asyncio.sleep(0.2)

    async def _holder(self) -> str:
        try:
            lease = await self._stage.site.mirror.request("GET", f"{_LEASES}/{self._stage.namespace}")
        except RefusedError:
            return ""
        return str(lease["spec"].get("holderIdentity"))


@asynccontextmanager
async def replicated(site: Site) -> AsyncIterator[tuple[Scene, Replicas]]:
    async with scene(site, {"LEASE_NAMESPACE": operator.ACCOUNT_NAMESPACE}, operated=False) as stage:
        stage.settings["LEASE_NAME"] = stage.namespace
        replicas = Replicas(stage)
        try:
            for pod in ("a", "b"):
                replicas.start(pod)
            await replicas.leader()
            yield stage, replicas
        finally:
            for process in replicas.processes.values():
                process.kill()


async def runs_one_after_the_other(stage: Scene, enough: asyncio.Event) -> int:
    """Plain runs, until there were enough; how many. Nothing in them waits for longer than a change of the leader."""
    number = 0
    while not enough.is_set():
        run = f"run-{number:03d}"
        await stage.apply(run)
        await stage.plays(run, names.STAGE_PREPARE, prepared(run))
        await stage.plays(run, names.STAGE_TRAIN, trained())
        await stage.reaches(run, "Complete")
        number += 1
    return number


def jobs_created_twice(stage: Scene) -> int:
    created = [path for path in stage.proxy.created if "/jobs/" in path]
    return len(created) - len(set(created))


@pytest.mark.timeout(900)
@pytest.mark.asyncio(loop_scope="session")
async def test_runs_go_on_when_the_leader_is_killed_ten_times(site: Site) -> None:
    async with replicated(site) as (stage, replicas):
        enough = asyncio.Event()
        work = asyncio.create_task(runs_one_after_the_other(stage, enough))
        for _ in range(_KILLS):
            leader = await replicas.leader()
            replicas.processes[leader].kill()
            replicas.start(leader)
            await replicas.leader()
            before = len(stage.proxy.created)
            await stage.until("somebody works", lambda before=before: len(stage.proxy.created) > before)  # type: ignore[misc]
        enough.set()
        runs = await work
        twice = jobs_created_twice(stage)
        record("leader killed", kills=_KILLS, runs=runs, lost=0, duplicate_jobs=twice)
        assert twice == 0


@pytest.mark.timeout(900)
@pytest.mark.asyncio(loop_scope="session")
async def test_a_leader_that_was_paused_past_its_lease_does_nothing_when_it_wakes(site: Site) -> None:
    async with replicated(site) as (stage, replicas):
        enough = asyncio.Event()
        work = asyncio.create_task(runs_one_after_the_other(stage, enough))
        for _ in range(_PAUSES):
            paused = await replicas.leader()
            replicas.processes[paused].send(signal.SIGSTOP)
            await replicas.leader(other_than=paused)
            before = len(stage.proxy.created)
            await stage.until("the other works", lambda before=before: len(stage.proxy.created) > before)  # type: ignore[misc]
            replicas.processes[paused].send(signal.SIGCONT)
        enough.set()
        runs = await work
        twice = jobs_created_twice(stage)
        record("leader paused", pauses=_PAUSES, runs=runs, lost=0, duplicate_jobs=twice)
        assert twice == 0
