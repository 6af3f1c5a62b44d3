"""Whatever ends the operator, and whenever: the run comes to the same end, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from kubernetes import client

from lora_cluster.control_plane import ControlPlane
from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.status import LoRAFineTuneStatus
from support import operator
from support.api_proxy import ApiProxy, api_proxy
from support.api_server import eventually, make_namespace
from support.operator import Operator, StartOperator
from support.pods import prepared, trained
from support.runs import Runs

#: Writes of a plain run: two Jobs created; status written when prepared for, queued, running and complete.
WRITES = 6


@dataclass
class Scene:
    """A namespace whose operator reaches the API server through a proxy that can strike at any write."""

    runs: Runs
    proxy: ApiProxy
    start: StartOperator
    played: set[str] = field(default_factory=set)
    operator: Operator | None = None

    def given_an_operator(self) -> Operator:
        """The operator; a new process where the last one was killed."""
        if self.operator is None or not self.operator.running:
            self.operator = self.start()
        return self.operator

    def when_pods_work_until(self, run: str, holds: Callable[[], bool]) -> None:
        """Let whatever pod of a run appears start, run and end, until a condition holds."""

        def played_and_done() -> bool:
            for stage, report in ((names.STAGE_PREPARE, prepared(run)), (names.STAGE_TRAIN, trained())):
                for pod in self.runs.pods.all(run, stage):
                    if pod.metadata.uid not in self.played:
                        self.played.add(pod.metadata.uid)
                        self.runs.pods.starts(pod)
                    elif pod.status.phase == "Running" and self._was_noticed(run, stage):
                        self.runs.pods.ends(pod, report)
            return holds()

        eventually(f"the pods of {run} did their work", played_and_done, seconds=90)

    def _was_noticed(self, run: str, stage: str) -> bool:
        """A train pod that ends before it was seen running saves a write: not in these scenarios."""
        return stage == names.STAGE_PREPARE or self.runs.status(run).phase == "Running"


@pytest.fixture(scope="module")
def scene(
    api: client.ApiClient,
    control_plane: ControlPlane,
    operator_kubeconfig: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """One for the module: an operator that was not killed serves the next test too."""
    directory, namespace = tmp_path_factory.mktemp("recovery"), make_namespace(api)
    with api_proxy(control_plane) as proxy:
        proxied = operator.redirect(operator_kubeconfig, proxy.url, directory / "kubeconfig")
        with operator.operators(proxied, directory, namespace) as start:
            yield Scene(Runs(api, namespace), proxy, start)


def test_a_plain_run_takes_six_writes(scene: Scene) -> None:
    scene.given_an_operator()
    scene.proxy.forget()
    scene.runs.apply("plain")
    scene.when_pods_work_until("plain", lambda: scene.runs.is_true("plain", ConditionType.COMPLETE))
    assert len(scene.proxy.writes) <= WRITES, scene.proxy.writes


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, WRITES + 1))
def test_a_run_ends_the_same_when_the_operator_is_killed_at_a_write(
    scene: Scene, number: int, when: Literal["before", "after"]
) -> None:
    run = f"killed-{when}-{number}"
    scene.proxy.strike(number, when, scene.given_an_operator().kill)
    scene.runs.apply(run)
    scene.when_pods_work_until(run, scene.proxy.struck.is_set)

    scene.given_an_operator()
    scene.when_pods_work_until(run, lambda: scene.runs.is_true(run, ConditionType.COMPLETE))

    assert essence(scene.runs.status(run)) == COMPLETE
    assert scene.runs.stages(run) == ["prepare", "train"], "no Job was created twice"
    assert len(scene.runs.pods.all(run, "prepare") + scene.runs.pods.all(run, "train")) == 2


def essence(status: LoRAFineTuneStatus) -> tuple[str | None, dict[str, str], list[tuple[str, int | None]]]:
    """What must be equal after every crash: no times, no names of pods."""
    conditions = {str(condition.type): condition.status for condition in status.conditions}
    return status.phase, conditions, [(attempt.stage, attempt.exit_code) for attempt in status.attempts]


COMPLETE = (
    "Complete",
    {str(kind): "False" for kind in ConditionType if kind is not ConditionType.INPUTS_DRIFTED}
    | {
        str(kind): "True" for kind in ConditionType if kind in ("Accepted", "Prepared", "Ready", "Finished", "Complete")
    },
    [("train", 0)],
)
