"""Two runs with the same identity: one trains, the other waits without a GPU and adopts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lora_contract import names
from lora_contract.reasons import Reason
from lora_contract.status import ConditionType
from support.api_server import eventually
from support.pods import adopted, prepared, trained
from support.runs import Runs

pytestmark = pytest.mark.usefixtures("running_operator")


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


def test_of_two_that_prepare_at_once_one_trains_and_the_other_adopts(runs: Runs) -> None:
    trains, waits = prepared_at_once(runs)
    assert runs.stages(waits) == ["prepare"]
    (first,) = runs.jobs(waits)

    runs.pods.run(trains, names.STAGE_TRAIN, trained())
    runs.reaches(trains, ConditionType.COMPLETE)
    eventually(
        "prepare looks again", lambda: [j.metadata.uid for j in runs.jobs(waits)] not in ([], [first.metadata.uid])
    )
    runs.pods.run(waits, names.STAGE_PREPARE, adopted())
    status = runs.reaches(waits, ConditionType.COMPLETE)

    assert status.condition(ConditionType.COMPLETE).reason == Reason.ADOPTED_EXISTING_ARTIFACT  # type: ignore[union-attr]
    assert runs.stages(waits) == ["prepare"]
    assert ("Warning", Reason.JOB_DELETED) not in runs.events(waits)


def test_where_the_first_is_deleted_the_other_trains(runs: Runs) -> None:
    trains, waits = prepared_at_once(runs)

    runs.finetunes.delete(trains)
    runs.pods.run(waits, names.STAGE_PREPARE, prepared("same"))

    runs.pods.run(waits, names.STAGE_TRAIN, trained())
    runs.reaches(waits, ConditionType.COMPLETE)
