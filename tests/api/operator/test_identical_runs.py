"""Two runs with the same identity: one trains, the other waits without a GPU and adopts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lora_cluster.control_plane import ControlPlane
from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.reasons import Reason
from support import operator
from support.api_proxy import api_proxy
from support.api_server import eventually
from support.operator import StartOperator
from support.pods import adopted, prepared, trained
from support.runs import Runs


def reason(runs: Runs, name: str) -> str:
    found = runs.status(name).condition(ConditionType.READY)
    return found.reason if found else ""


def prepared_at_once(runs: Runs) -> tuple[str, str]:
    """Two runs whose prepare pods end at the same moment: the one that trains and the one that waits."""
    for name in ("one", "two"):
        runs.apply(name)
    pods = [runs.pods.appears(name, names.STAGE_PREPARE) for name in ("one", "two")]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda pod: runs.pods.ends(pod, prepared("same")), pods))
    eventually(
        "one of them waits",
        lambda: Reason.IDENTICAL_RUN_TRAINING in (reason(runs, "one"), reason(runs, "two")),
    )
    trains, waits = ("two", "one") if reason(runs, "one") == Reason.IDENTICAL_RUN_TRAINING else ("one", "two")
    runs.pods.appears(trains, names.STAGE_TRAIN)
    return trains, waits


@pytest.mark.usefixtures("running_operator")
def test_of_two_that_prepare_at_once_one_trains_and_the_other_adopts(runs: Runs) -> None:
    trains, waits = prepared_at_once(runs)
    assert runs.stages(waits) == ["prepare"]
    (first,) = runs.jobs(waits)

    runs.pods.run(trains, names.STAGE_TRAIN, trained())
    runs.reaches(trains, ConditionType.COMPLETE)
    eventually("prepare looks again", lambda: first.metadata.uid not in [job.metadata.uid for job in runs.jobs(waits)])
    runs.pods.run(waits, names.STAGE_PREPARE, adopted())
    status = runs.reaches(waits, ConditionType.COMPLETE)

    assert status.condition(ConditionType.COMPLETE).reason == Reason.ADOPTED_EXISTING_ARTIFACT  # type: ignore[union-attr]
    assert runs.stages(waits) == ["prepare"]
    assert ("Warning", Reason.JOB_DELETED) not in runs.events(waits)


@pytest.mark.usefixtures("running_operator")
def test_where_the_first_is_deleted_the_other_trains(runs: Runs) -> None:
    trains, waits = prepared_at_once(runs)

    runs.finetunes.delete(trains)
    runs.pods.run(waits, names.STAGE_PREPARE, prepared("same"))

    runs.pods.run(waits, names.STAGE_TRAIN, trained())
    runs.reaches(waits, ConditionType.COMPLETE)


def test_while_the_job_of_one_is_being_created_the_other_is_not_started(
    runs: Runs, start_operator: StartOperator, control_plane: ControlPlane, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    with api_proxy(control_plane) as proxy:
        start_operator(kubeconfig=operator.redirect(operator_kubeconfig, proxy.url, tmp_path / "kubeconfig"))
        runs.apply("older")
        older = runs.pods.appears("older", names.STAGE_PREPARE)
        runs.apply("younger")
        with proxy.holding(lambda path, body: path.endswith("/jobs") and "younger-train" in body):
            runs.pods.run("younger", names.STAGE_PREPARE, prepared("same"))
            eventually("the third Job is asked for", lambda: sum("/jobs" in write for write in proxy.writes) == 3)
            runs.pods.ends(older, prepared("same"))
            eventually("the other waits", lambda: reason(runs, "older") == Reason.IDENTICAL_RUN_TRAINING)

        runs.pods.appears("younger", names.STAGE_TRAIN)
        assert runs.stages("older") == ["prepare"]
