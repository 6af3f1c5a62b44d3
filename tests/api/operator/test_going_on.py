"""Two runs, one from the other's adapter: a pipeline, in whatever order they are applied."""

from __future__ import annotations

import pytest

from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.exit_codes import ExitCode
from lora_contract.reasons import Reason
from support.api_server import eventually
from support.pods import ARTIFACT, failed, prepared, trained
from support.runs import Runs

FROM_BASE = {"from": {"run": "base"}}

pytestmark = pytest.mark.usefixtures("running_operator")


def waits(runs: Runs, name: str) -> None:
    eventually(f"{name} waits", lambda: runs.is_because(name, Reason.WAITING_FOR_RUN))


@pytest.mark.parametrize("order", [("base", "child"), ("child", "base")], ids=["parent first", "child first"])
def test_the_child_begins_when_its_parent_has_published(runs: Runs, order: tuple[str, str]) -> None:
    for name in order:
        runs.apply(name, **(FROM_BASE if name == "child" else {}))
    waits(runs, "child")
    assert runs.stages("child") == []

    runs.completes("base")
    runs.pods.run("child", names.STAGE_PREPARE, prepared("child"))
    runs.pods.run("child", names.STAGE_TRAIN, trained())
    status = runs.reaches("child", ConditionType.COMPLETE)

    assert status.parent is not None
    assert (status.parent.run, status.parent.uri) == ("base", ARTIFACT.uri)
    assert status.parent.manifest_digest == ARTIFACT.manifest_digest


def test_a_chain_of_three_fails_with_the_name_of_each(runs: Runs) -> None:
    runs.apply("third", **{"from": {"run": "child"}})
    runs.apply("child", **FROM_BASE)
    runs.apply("base")

    runs.pods.run("base", names.STAGE_PREPARE, failed("prepare", "rows.jsonl:3: no answer"), ExitCode.BAD_DATA)

    for name, parent in (("child", "base"), ("third", "child")):
        status = runs.reaches(name, ConditionType.FAILED)
        assert status.error is not None
        assert status.error.code == Reason.PARENT_FAILED
        assert f"Run {parent}, which spec.from.run names, failed" in status.error.message
        assert "rows.jsonl:3: no answer" in status.error.message
        assert runs.stages(name) == []


def test_a_parent_that_is_deleted_and_applied_again_is_waited_for(runs: Runs) -> None:
    runs.apply("base")
    runs.apply("child", **FROM_BASE)
    waits(runs, "child")

    runs.finetunes.delete("base")
    eventually("it is told", lambda: "does not exist" in str(runs.status("child").condition(ConditionType.READY)))
    eventually("its pod is gone", lambda: not runs.pods.all("base", names.STAGE_PREPARE))
    runs.apply("base")
    runs.completes("base")

    runs.pods.appears("child", names.STAGE_PREPARE)


def test_runs_that_wait_for_each_other_are_refused(runs: Runs) -> None:
    runs.apply("child", **FROM_BASE)
    runs.apply("base", **{"from": {"run": "child"}})
    for name in ("child", "base"):
        eventually(f"{name} is refused", lambda name=name: runs.status(name).refused)  # type: ignore[misc]
