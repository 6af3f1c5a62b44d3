"""A run on two nodes: two launchers that meet over the network, with a process each, against one process."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from support.groups import PLAIN, Pods, assert_same_training
from support.train_runs import Ended, TrainRun

from .conftest import Runs

TWO_NODES = PLAIN | {"compute__nodes": 2, "compute__gpus": 1}


pytestmark = pytest.mark.usefixtures("processes_on_the_cpu")


def assert_ended_well(first: Ended, second: Ended) -> None:
    """Both pods are done, and the first alone has the result."""
    assert first.code == ExitCode.DONE, first.log[-3000:]
    assert second.code == ExitCode.DONE, second.log[-3000:]
    assert first.report is not None
    assert first.report.artifact is not None
    assert second.report is not None
    assert second.report.error is None


def test_two_pods_give_the_adapter_of_one_process(runs: Runs, alone: tuple[TrainRun, Ended]) -> None:
    # A run on two nodes, of which the second pod comes first
    run = runs(**TWO_NODES)
    pods = Pods(run)
    second, first = pods.start(1), pods.start(0)
    # Both end
    ended = first.end(), second.end()
    # Figures and adapter are those of one process, one pod spoke, and the work is cleared away
    assert_ended_well(*ended)
    assert_same_training(run, alone[0])
    assert "took claim" not in ended[1].log
    assert ended[1].report is not None
    assert ended[1].report.artifact is None
    assert run.objects(run.layout.work) == []


@pytest.mark.groups
def test_sigterm_to_one_pod_stops_both_after_a_checkpoint(runs: Runs, alone: tuple[TrainRun, Ended]) -> None:
    # Two pods of which the second gets SIGTERM after step 5
    run = runs(**TWO_NODES)
    pods = Pods(run)
    first, second = pods.start(0), pods.start(1, termAt=5, rank=1)
    ended = first.end(), second.end()
    # Both end as checkpointed, which counts against nothing, with the checkpoint of that step in S3
    assert [each.code for each in ended] == [ExitCode.CHECKPOINTED, ExitCode.CHECKPOINTED], ended[0].log[-3000:]
    assert any("step-00000005/manifest.json" in uri for uri in run.objects(run.layout.checkpoints))
    # The Job replaced both
    first, second = pods.start(0), pods.start(1)
    ended = first.end(), second.end()
    # The run went on after that step
    assert_ended_well(*ended)
    assert ended[0].report is not None
    assert ended[0].report.timing is not None
    assert ended[0].report.timing.from_step == 5
    assert_same_training(run, alone[0])


@pytest.mark.groups
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_pod_is_waited_for_and_the_group_goes_on(
    killed: int, runs: Runs, alone: tuple[TrainRun, Ended], tmp_path: Path
) -> None:
    # Two pods at step 6, both standing
    run = runs(**TWO_NODES)
    pods = Pods(run)
    gate = tmp_path / "go-on"
    started = [pods.start(index, pauseAt=6, pauseUntil=str(gate), rank=0) for index in (0, 1)]
    started[0].wait_for("step 6 done")
    # One is killed, with all its processes
    started[killed].send(signal.SIGKILL)
    assert started[killed].end().code == -signal.SIGKILL
    gate.touch()
    # The other notices, and does not end
    started[1 - killed].wait_for("processes of the run are gone")
    # The Job replaced the killed one
    started[killed] = pods.start(killed)
    ended = started[0].end(), started[1].end()
    # The group went on from the last checkpoint, and the result is that of an undisturbed run
    assert_ended_well(*ended)
    assert ended[0].report is not None
    assert ended[0].report.timing is not None
    assert ended[0].report.timing.from_step == 4
    assert_same_training(run, alone[0])


@pytest.mark.groups
def test_an_error_in_one_pod_is_its_own_and_the_other_waits(runs: Runs) -> None:
    # Two pods of which the second meets a loss that is not a number
    run = runs(**TWO_NODES)
    pods = Pods(run)
    first, second = pods.start(0), pods.start(1, lossAt=3, rank=1)
    ended = second.end()
    # That pod says so, with the code that ends the Job
    assert ended.code == ExitCode.LOSS_NOT_FINITE, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.error is not None
    assert "step 3" in ended.report.error.message
    # The other one waits for another, until it is stopped
    first.wait_for("processes of the run are gone")
    first.send(signal.SIGTERM)
    assert first.end(seconds=60).code == ExitCode.CHECKPOINTED


@pytest.mark.groups
def test_a_pod_that_comes_while_the_first_publishes_ends_well(runs: Runs, tmp_path: Path) -> None:
    # A run on two nodes whose first pod is about to publish
    run = runs(**TWO_NODES)
    pods = Pods(run)
    gate = tmp_path / "publish"
    first, second = pods.start(0, publishAfter=str(gate)), pods.start(1)
    first.wait_for("ready to publish")
    # The second one is killed and replaced, and only then the first one publishes
    second.send(signal.SIGKILL)
    assert second.end().code == -signal.SIGKILL
    second = pods.start(1)
    second.wait_for("waiting for the end of the present group")
    gate.touch()
    # Both end well
    ended = first.end(), second.end()
    assert ended[0].code == ExitCode.DONE, ended[0].log[-3000:]
    assert ended[1].code == ExitCode.DONE, ended[1].log[-3000:]
    # One that comes later still finds what was published
    late = pods.start(1).end()
    assert late.code == ExitCode.DONE, late.log[-3000:]


def test_pods_that_do_not_know_where_to_meet_say_so(runs: Runs) -> None:
    ended = runs(**TWO_NODES).start(real=True).end()
    assert ended.code == ExitCode.BAD_CONFIG, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.error is not None
    assert ended.report.error.param == "spec.compute.nodes"
