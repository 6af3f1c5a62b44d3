"""Runs in a Git repository that a real Flux applies: it waits for them, trains nothing twice, and prunes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_cluster.control_plane import ControlPlane
from lora_contract import names
from lora_contract.exit_codes import ExitCode
from support import flux
from support.api_server import as_yaml, eventually, manifest
from support.flux import Flux, Repository
from support.pods import failed
from support.runs import Runs
from support.specs import changed

pytestmark = [pytest.mark.flux, pytest.mark.usefixtures("running_operator")]

COMPLETE, ACCEPTED = "flux-until-complete.yaml", "flux-until-accepted.yaml"


@pytest.fixture(scope="module")
def controllers(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flux]:
    with flux.running(control_plane, tmp_path_factory.mktemp("flux")) as started:
        yield started


@pytest.fixture
def repository(tmp_path: Path, namespace: str) -> Iterator[Repository]:
    with flux.repositories(tmp_path) as address:
        yield flux.repository(tmp_path, address, namespace)


def in_git(name: str, **changes: object) -> dict[str, str | None]:
    return {f"runs/{name}.yaml": as_yaml(manifest(name, changed(changes)))}


def test_a_run_in_git_is_applied_waited_for_and_pruned(
    controllers: Flux, repository: Repository, runs: Runs, namespace: str
) -> None:
    # A repository with a run, and one with what needs its adapter
    commit = repository.commit(in_git("triage"))
    controllers.follow(namespace, repository, namespace, COMPLETE)
    controllers.reconcile(namespace, commit)
    # It is applied and being prepared, and Flux is not ready
    runs.pods.appears("triage", names.STAGE_PREPARE)
    assert controllers.ready(namespace)[0] == "Unknown"
    # It is complete, and Flux is ready
    runs.completes("triage")
    eventually("Flux is ready", lambda: controllers.ready(namespace)[0] == "True")
    assert controllers.applied(namespace, commit)
    before = runs.finetunes.get("triage")
    jobs = {job.metadata.uid for job in runs.jobs("triage")}
    # The next commit has another run: the first one is left as it is
    commit = repository.commit(in_git("another"))
    controllers.reconcile(namespace, commit)
    runs.completes("another")
    eventually("the commit is applied", lambda: controllers.applied(namespace, commit))
    after = runs.finetunes.get("triage")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert (after["spec"], after["status"]) == (before["spec"], before["status"])
    assert {job.metadata.uid for job in runs.jobs("triage")} == jobs
    # Once it is gone from Git, it is gone from the cluster with its Jobs
    commit = repository.commit({"runs/triage.yaml": None})
    controllers.reconcile(namespace, commit)
    eventually("the run is pruned", lambda: "triage" not in runs.names())
    eventually("its Jobs are gone", lambda: not runs.jobs("triage"))
    assert runs.status("another").phase == "Complete"


def test_a_run_that_fails_is_told_by_flux(
    controllers: Flux, repository: Repository, runs: Runs, namespace: str
) -> None:
    commit = repository.commit(in_git("triage"))
    controllers.follow(namespace, repository, namespace, COMPLETE)
    controllers.reconcile(namespace, commit)
    runs.pods.run("triage", names.STAGE_PREPARE, failed(names.STAGE_PREPARE, "line 3 is not JSON"), ExitCode.BAD_DATA)
    runs.in_phase("triage", "Failed")
    eventually("Flux failed", lambda: controllers.ready(namespace)[0] == "False")
    _, reason, message = controllers.ready(namespace)
    assert reason == "HealthCheckFailed"
    assert f"LoRAFineTune/{namespace}/triage status: 'Failed'" in message


def test_flux_need_not_wait_for_a_training(
    controllers: Flux, repository: Repository, runs: Runs, namespace: str
) -> None:
    commit = repository.commit(in_git("triage"))
    controllers.follow(namespace, repository, namespace, ACCEPTED)
    controllers.reconcile(namespace, commit)
    runs.pods.appears("triage", names.STAGE_PREPARE)
    eventually("Flux is ready", lambda: controllers.ready(namespace)[0] == "True")
    assert runs.status("triage").phase == "Preparing"
