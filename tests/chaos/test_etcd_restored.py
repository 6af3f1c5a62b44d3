"""etcd is put back to an earlier moment under a living operator: the cluster as it then is counts."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from lora_cluster.control_plane import ControlPlane
from lora_cluster.processes import Daemon, stop
from lora_contract import names
from support import api_server
from support.chaos.figures import record
from support.chaos.scene import Site, scene
from support.chaos.site import site as site_of
from support.pods import prepared, trained

_PROGRAMS = ("kube-controller-manager", "kube-apiserver", "etcd")
#: The operator's full look comes every 300 seconds; the watches notice earlier.
_PATIENCE_SECONDS = 120.0


@pytest.fixture
def own_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane that a test may put back."""
    with api_server.running(tmp_path / "plane") as plane:
        yield plane


@pytest_asyncio.fixture(loop_scope="session")
async def own_site(own_plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Site]:
    """That control plane, set up for scenes."""
    async with site_of(own_plane, tmp_path) as made:
        yield made


def halt(plane: ControlPlane) -> None:
    stop([Daemon(plane.directory, program) for program in _PROGRAMS])


def begin(plane: ControlPlane) -> None:
    plane.start_api_server()
    plane.wait_ready()
    plane.start_controllers(scheduler=False)


def keep(plane: ControlPlane) -> None:
    """Copy the data of etcd, which is stopped for it."""
    halt(plane)
    shutil.copytree(plane.directory / "etcd", plane.directory / "etcd-before")
    begin(plane)


def put_back(plane: ControlPlane) -> None:
    """Let etcd go on from the copy."""
    halt(plane)
    shutil.rmtree(plane.directory / "etcd")
    shutil.move(plane.directory / "etcd-before", plane.directory / "etcd")
    begin(plane)


@pytest.mark.timeout(600)
@pytest.mark.asyncio(loop_scope="session")
async def test_runs_go_on_when_etcd_is_put_back(own_site: Site, own_plane: ControlPlane) -> None:
    async with scene(own_site) as stage:
        stage.patience = _PATIENCE_SECONDS
        kubelet = asyncio.create_task(stage.restart_when_ended())
        # A run that trains, and one that is prepared
        await stage.apply("training")
        await stage.plays("training", names.STAGE_PREPARE, prepared("training"))
        await stage.starts("training", names.STAGE_TRAIN)
        await stage.in_phase("training", "Running")
        await stage.apply("preparing")
        await stage.starts("preparing", names.STAGE_PREPARE)
        await stage.in_phase("preparing", "Preparing")
        await asyncio.to_thread(keep, own_plane)
        # Both end, a third begins, and then none of that has happened
        for run in ("training", "preparing"):
            for stage_name, report in ((names.STAGE_PREPARE, prepared(run)), (names.STAGE_TRAIN, trained())):
                for pod in stage.pods(run, stage_name):
                    if pod["status"]["phase"] == "Running":
                        await stage.ends(pod, report)
        await stage.reaches("training", "Complete")
        await stage.plays("preparing", names.STAGE_TRAIN, trained())
        await stage.reaches("preparing", "Complete")
        await stage.apply("forgotten")
        await stage.starts("forgotten", names.STAGE_PREPARE)
        await asyncio.to_thread(put_back, own_plane)
        await stage.until("the mirror is put back", lambda: not stage.run("forgotten"))
        # They go on from there, and a new one runs from its beginning to its end
        for run, stage_name, report in (
            ("training", names.STAGE_TRAIN, trained()),
            ("preparing", names.STAGE_PREPARE, prepared("preparing")),
        ):
            (pod,) = [pod for pod in stage.pods(run, stage_name) if pod["status"]["phase"] == "Running"]
            await stage.ends(pod, report)
        await stage.reaches("training", "Complete")
        await stage.plays("preparing", names.STAGE_TRAIN, trained())
        await stage.reaches("preparing", "Complete")
        await stage.apply("new")
        await stage.plays("new", names.STAGE_PREPARE, prepared("new"))
        await stage.plays("new", names.STAGE_TRAIN, trained())
        await stage.reaches("new", "Complete")
        kubelet.cancel()
        record("etcd restored", runs=3, lost=0)
