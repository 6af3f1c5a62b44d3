"""The API server is away for the operator while fifty runs end: none is lost."""

from __future__ import annotations

import asyncio
import time

import pytest

from lora_contract import names
from support.api_proxy import abort
from support.chaos.figures import record
from support.chaos.scene import Scene, Site, is_true, scene
from support.pods import prepared, trained

_RUNS = 50
#: For what 150 runs at once need on a small machine.
_PATIENCE_SECONDS = 240.0
#: After the API server is back: kopf's longest wait, and a look at every run.
_RECOVERY_SECONDS = 60


async def runs(stage: Scene, run: str) -> dict[str, object]:
    """Let a run come to where its pod trains; the pod."""
    await stage.apply(run)
    await stage.plays(run, names.STAGE_PREPARE, prepared(run))
    pod = await stage.starts(run, names.STAGE_TRAIN)
    await stage.in_phase(run, "Running")
    return pod


async def goes_away(site: Site, seconds: float) -> tuple[int, float]:
    """Fifty runs end while the operator cannot reach the API server; how many are lost, and how long the last took."""
    async with scene(site) as stage:
        stage.patience = _PATIENCE_SECONDS
        run_names = [f"run-{number:02d}" for number in range(_RUNS)]
        pods = await asyncio.gather(*(runs(stage, run) for run in run_names))
        stage.proxy.disturb = abort
        stage.proxy.cut()
        away = time.monotonic()
        await asyncio.gather(*(stage.ends(pod, trained()) for pod in pods))
        await stage.until("their Jobs are complete", lambda: all(job_complete(stage, run) for run in run_names))
        await asyncio.sleep(max(0.0, away + seconds - time.monotonic()))
        stage.proxy.disturb = lambda request: None
        back = time.monotonic()
        finished = [is_finished(stage, run) for run in run_names]
        assert not any(finished), "nothing can have been told meanwhile"
        await stage.until(
            "all runs are finished",
            lambda: all(is_finished(stage, run) for run in run_names),
            seconds=_RECOVERY_SECONDS,
        )
        lost = [run for run in run_names if not is_true(stage.run(run), "Complete")]
        return len(lost), time.monotonic() - back


def job_complete(stage: Scene, run: str) -> bool:
    return any(is_true(job, "Complete") for job in stage.jobs(run, names.STAGE_TRAIN))


def is_finished(stage: Scene, run: str) -> bool:
    return is_true(stage.run(run), "Finished")


@pytest.mark.timeout(600)
@pytest.mark.asyncio(loop_scope="session")
async def test_no_result_is_lost_while_the_api_server_is_away(site: Site) -> None:
    outages = (30, 60, 180)
    found = await asyncio.gather(*(goes_away(site, seconds) for seconds in outages))
    for seconds, (lost, last) in zip(outages, found, strict=True):
        record(f"away {seconds} s", runs=_RUNS, lost=lost, seconds_until_all_told=round(last, 1))
    assert [lost for lost, _ in found] == [0, 0, 0]
