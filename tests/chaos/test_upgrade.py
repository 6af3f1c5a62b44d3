"""An upgrade from the last release while runs are under way: they go on, and nothing is done again."""

from __future__ import annotations

import asyncio
import io
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from lora_cluster.control_plane import ControlPlane
from lora_contract import names
from support import api_server, operator
from support.chaos.figures import record
from support.chaos.scene import Scene, Site, scene
from support.chaos.site import site as site_of
from support.chaos.stories import plays_to_the_end
from support.operator import Operator
from support.pods import adopted, prepared, trained

_REPOSITORY = Path(__file__).resolve().parents[2]
#: What is upgraded from where no release is tagged: the last state of version 0.1.0.
_FIRST_RELEASE = "b41d198"
_REST_SECONDS = 10.0


def git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(_REPOSITORY), *words], check=True, capture_output=True).stdout


def last_release() -> str:
    """The newest tag of a version, or the first release."""
    tags = git("tag", "--list", "v*", "--sort=-version:refname").decode().split()
    return tags[0] if tags else _FIRST_RELEASE


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the last release."""
    folder = tmp_path_factory.mktemp("release")
    with tarfile.open(fileobj=io.BytesIO(git("archive", last_release()))) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def old_plane(release: Path, tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane with the CRDs of the last release."""
    with api_server.running(tmp_path / "plane", definitions=release / "crds") as plane:
        yield plane


@pytest_asyncio.fixture(loop_scope="session")
async def old_site(old_plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Site]:
    """That control plane, set up for scenes."""
    async with site_of(old_plane, tmp_path) as made:
        yield made


async def is_under_way(stage: Scene) -> dict[str, Any]:
    """Runs in every state that lasts; the pods that have started and not ended."""
    for run in ("finished", "preparing", "starting", "training", "suspended", "queued", "waiting"):
        more = {"scheduling__queueName": "team-a"} if run == "queued" else {}
        await stage.apply(run, **more)
        if run == "finished":
            await plays_to_the_end(stage, run)
    pods = {"preparing": await stage.starts("preparing", names.STAGE_PREPARE)}
    for run in ("starting", "training", "suspended", "queued", "waiting"):
        await stage.plays(run, names.STAGE_PREPARE, prepared("training" if run == "waiting" else run))
        if run in ("training", "suspended"):
            pods[run] = await stage.starts(run, names.STAGE_TRAIN)
            await stage.in_phase(run, "Running")
    await stage.patch("suspended", suspend=True)
    await stage.in_phase("suspended", "Suspended")
    await stage.says("waiting", "IdenticalRunTraining")
    await stage.in_phase("queued", "Queued")
    await stage.job("starting", names.STAGE_TRAIN)
    return pods


async def goes_on(stage: Scene, pods: dict[str, Any]) -> None:
    """All of them come to their end."""
    await stage.ends(pods["preparing"], prepared("preparing"))
    await stage.ends(pods["training"], trained())
    await stage.patch("suspended", suspend=False)
    await stage.admits("queued")
    for run in ("preparing", "starting", "suspended", "queued"):
        await stage.plays(run, names.STAGE_TRAIN, trained())
    await stage.plays("waiting", names.STAGE_PREPARE, adopted())
    for run in ("preparing", "starting", "training", "suspended", "queued", "waiting"):
        await stage.reaches(run, "Complete")


def facts(stage: Scene) -> dict[str, Any]:
    """What an upgrade must not change by itself."""
    runs = stage.site.mirror.all(names.PLURAL, stage.namespace)
    jobs = stage.site.mirror.all("jobs", stage.namespace)
    statuses = {run["metadata"]["name"]: run["status"] for run in runs}
    return {
        "hashes": {name: status.get("specHash") for name, status in statuses.items()},
        "finished": statuses["finished"],
        "jobs": sorted(job["metadata"]["uid"] for job in jobs),
    }


@pytest.mark.timeout(600)
@pytest.mark.asyncio(loop_scope="session")
async def test_live_runs_survive_an_upgrade(old_site: Site, old_plane: ControlPlane, release: Path) -> None:
    async with scene(old_site, operated=False) as stage:
        directory = old_site.directory / stage.namespace
        kubeconfig = operator.redirect(old_site.kubeconfig, stage.proxy.url, directory / "kubeconfig")
        settings = {"WATCH_NAMESPACES": stage.namespace}
        old = Operator(kubeconfig, directory / "old.log", settings, packages=release / "operator").start()
        new = Operator(kubeconfig, directory / "new.log", settings)
        try:
            await asyncio.to_thread(old.wait_ready)
            pods = await is_under_way(stage)
            before = facts(stage)
            # The definitions are renewed, then the operator
            await asyncio.to_thread(api_server.define, old_plane, api_server.CRDS)
            await asyncio.to_thread(old.stop)
            stage.proxy.created.clear()
            await asyncio.to_thread(new.start().wait_ready)
            await asyncio.sleep(_REST_SECONDS)
            # It touches no Job and no result, and every run comes to its end
            assert facts(stage) == before
            await goes_on(stage, pods)
        finally:
            old.kill()
            new.kill()
        made = [path for path in stage.proxy.created if "/jobs/" in path]
        twice = len(made) - len(set(made))
        record("upgrade", release=last_release(), runs=len(before["hashes"]), lost=0, duplicate_jobs=twice)
        assert twice == 0
