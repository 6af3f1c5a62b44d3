"""Five thousand resources: the operator is back within seconds, writes nothing at rest, and stays small."""

from __future__ import annotations

import asyncio
import itertools
import time

import psutil
import pytest

from lora_contract import names
from support import operator
from support.api_server import manifest
from support.chaos.figures import record
from support.chaos.mirror import Body, path_of
from support.chaos.scene import Scene, Site, scene
from support.chaos.stories import plays_to_the_end
from support.operator import Operator
from support.specs import BASE

_RESOURCES = 5000
_REST_SECONDS = 30.0
_CLIENTS = 32


async def fill(stage: Scene, finished: Body) -> None:
    """Make resources that are finished as one is, many at a time."""
    numbers = itertools.count()

    async def work() -> None:
        while (number := next(numbers)) < _RESOURCES:
            run = f"old-{number:04d}"
            collection = path_of(names.PLURAL, stage.namespace)
            await stage.site.mirror.request("POST", collection, manifest(run, BASE))
            await stage.site.mirror.request("PATCH", f"{collection}/{run}/status", {"status": finished["status"]})

    await asyncio.gather(*(work() for _ in range(_CLIENTS)))


@pytest.mark.timeout(900)
@pytest.mark.asyncio(loop_scope="session")
async def test_five_thousand_resources(site: Site) -> None:
    async with scene(site) as stage:
        await stage.apply("first")
        await plays_to_the_end(stage, "first")
        assert stage.operator is not None
        stage.operator.kill()
        await fill(stage, stage.run("first"))

        # An operator starts, and a run is created at that moment
        directory = site.directory / stage.namespace
        kubeconfig = operator.redirect(site.kubeconfig, stage.proxy.url, directory / "kubeconfig")
        process = Operator(kubeconfig, directory / "restarted.log", {"WATCH_NAMESPACES": stage.namespace})
        stage.proxy.forget()
        started = time.monotonic()
        process.start()
        try:
            await asyncio.to_thread(process.wait_ready)
            ready = time.monotonic() - started
            await stage.apply("new")
            await stage.job("new", names.STAGE_PREPARE)
            works = time.monotonic() - started
            await stage.in_phase("new", "Preparing")
            # At rest it writes nothing
            writes = len(stage.proxy.writes)
            await asyncio.sleep(_REST_SECONDS)
            at_rest = len(stage.proxy.writes) - writes
            memory = psutil.Process(process.pid).memory_info().rss / 2**20
        finally:
            process.kill()
        record(
            "many resources",
            resources=_RESOURCES,
            seconds_until_ready=round(ready, 1),
            seconds_until_a_new_run_has_its_job=round(works, 1),
            writes_of_the_start=writes,
            writes_at_rest=at_rest,
            resident_mib=round(memory),
        )
        assert works <= 15
        assert (writes, at_rest) == (2, 0), "the new run's Job and status, and nothing for those that ended"
        assert memory <= 200
