"""A run on several GPUs: a process for each, here with gloo on the CPU, against one process at the same batch."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.names import ENV_ALLOW_CPU
from support.groups import PLAIN, assert_same_training, children_of, wait_until_gone
from support.train_runs import STEPS, Attempt, Ended, TrainRun

from .conftest import Runs

pytestmark = pytest.mark.usefixtures("processes_on_the_cpu")


def start(run: TrainRun, **fault: Any) -> Attempt:
    return run.start(real=True, **fault)


def launched(attempt: Attempt) -> int:
    assert attempt.process.pid is not None
    return attempt.process.pid


def test_the_same_losses_and_the_same_adapter_as_one_process(runs: Runs, alone: tuple[TrainRun, Ended]) -> None:
    # A run on two GPUs with the effective batch of one
    run = runs(compute__gpus=2, **PLAIN)
    # It trains
    ended = start(run).end()
    # It ends with one report, figures and adapter are those of one process, and the work is cleared away
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.artifact is not None
    assert_same_training(run, alone[0])
    assert ended.log.count("published s3://") == 1
    assert ended.log.count("took claim") == 1
    assert ended.log.count(f"step {STEPS} of {STEPS}: loss") == 1
    assert run.objects(run.layout.work) == []


@pytest.mark.groups
def test_epochs_with_a_ragged_end_are_the_same(runs: Runs) -> None:
    # Two passes over rows of which the last effective batch leaves a process without any
    changes = PLAIN | {"training__maxSteps": None, "training__epochs": 2, "training__microBatchSize": 1}
    one, four = runs(**changes), runs(compute__gpus=4, **changes)
    assert one.order.plan is not None
    assert one.order.plan.rows % 8 != 0
    # Both train
    assert one.finish().code == ExitCode.DONE
    ended = start(four).end()
    # The losses are the same, step by step
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    for mine, other in zip(four.metrics()[:-1], one.metrics()[:-1], strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-4)


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.groups), 1])
def test_sigterm_to_one_process_loses_no_step(rank: int, runs: Runs, alone: tuple[TrainRun, Ended]) -> None:
    # A group of which one process gets SIGTERM after step 6, where an evaluation is due
    run = runs(compute__gpus=2, **PLAIN)
    ended = start(run, termAt=6, rank=rank).end()
    # The pod ends as checkpointed, with the checkpoint of that step in S3
    assert ended.code == ExitCode.CHECKPOINTED, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.timing is not None
    assert ended.report.timing.last_step == 6
    assert any("step-00000006/manifest.json" in uri for uri in run.objects(run.layout.checkpoints))
    # It goes on
    ended = start(run).end()
    # It goes on after that step, and the result is that of an undisturbed run
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.timing is not None
    assert ended.report.timing.from_step == 6
    assert ended.report.timing.lost_steps == 0
    assert_same_training(run, alone[0])


@pytest.mark.groups
def test_sigterm_to_the_pod_reaches_all_processes(runs: Runs, tmp_path: Path) -> None:
    # A group that stands at step 5
    run = runs(compute__gpus=2, **PLAIN)
    gate = tmp_path / "go-on"
    attempt = start(run, pauseAt=5, pauseUntil=str(gate))
    attempt.wait_for("step 5 done")
    workers = children_of(launched(attempt))
    assert len(workers) == 2
    # The pod gets SIGTERM
    attempt.send(signal.SIGTERM)
    gate.touch()
    ended = attempt.end()
    # It ends as checkpointed, its checkpoint is in S3, and no process is left
    assert ended.code == ExitCode.CHECKPOINTED, ended.log[-3000:]
    assert any("manifest.json" in uri for uri in run.objects(run.layout.checkpoints))
    assert not any(psutil.pid_exists(pid) for pid in workers)


@pytest.mark.groups
def test_sigterm_while_loading_ends_at_once(runs: Runs) -> None:
    run = runs(compute__gpus=2, **PLAIN)
    attempt = start(run)
    attempt.wait_for("starting 2 processes")
    attempt.send(signal.SIGTERM)
    began = time.monotonic()
    assert attempt.end(seconds=60).code == ExitCode.CHECKPOINTED
    assert time.monotonic() - began < 30


@pytest.mark.groups
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_pod_and_the_next_goes_on(
    rank: int, runs: Runs, alone: tuple[TrainRun, Ended]
) -> None:
    # A group of which one process is killed after step 6
    run = runs(compute__gpus=2, **PLAIN)
    ended = start(run, killAt=6, rank=rank).end()
    # The pod fails in a way that is retried, and says which process was killed
    assert ended.code == ExitCode.INTERNAL, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.error is not None
    assert f"process {rank} of 2 was killed by SIGKILL" in ended.report.error.message
    # The next pod starts
    ended = start(run).end()
    # It goes on from the last checkpoint, and the result is that of an undisturbed run
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.timing is not None
    assert ended.report.timing.from_step == 4
    assert_same_training(run, alone[0])


@pytest.mark.groups
def test_a_killed_launcher_leaves_no_process_behind(runs: Runs, tmp_path: Path) -> None:
    run = runs(compute__gpus=2, **PLAIN)
    attempt = start(run, pauseAt=2, pauseUntil=str(tmp_path / "never"))
    attempt.wait_for("step 2 done")
    workers = children_of(launched(attempt))
    attempt.send(signal.SIGKILL)
    assert attempt.end().code == -signal.SIGKILL
    wait_until_gone(workers)


@pytest.mark.groups
def test_dropout_resumes_to_the_same_adapter(runs: Runs) -> None:
    # A group whose processes draw dropout, undisturbed and stopped in between
    changes = PLAIN | {"lora__dropout": 0.1, "compute__gpus": 2}
    undisturbed, stopped = runs(**changes), runs(**changes)
    assert start(undisturbed).end().code == ExitCode.DONE
    assert start(stopped, termAt=5).end().code == ExitCode.CHECKPOINTED
    # It goes on
    ended = start(stopped).end()
    # Each process went on with its own random numbers
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert stopped.adapter() == undisturbed.adapter()
    assert stopped.metrics() == undisturbed.metrics()


@pytest.mark.groups
def test_a_run_goes_on_with_another_number_of_gpus(runs: Runs, alone: tuple[TrainRun, Ended]) -> None:
    # A run of two processes that was stopped after step 5
    run = runs(compute__gpus=2, **PLAIN)
    assert start(run, termAt=5).end().code == ExitCode.CHECKPOINTED
    # It is applied again without GPUs
    compute = run.order.spec.compute.model_copy(update={"gpus": 0})
    run.order = run.order.model_copy(update={"spec": run.order.spec.model_copy(update={"compute": compute})})
    ended = start(run).end()
    # One process goes on from that step, and the result is that of an undisturbed run
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.timing is not None
    assert ended.report.timing.from_step == 5
    assert_same_training(run, alone[0])


@pytest.mark.groups
def test_the_words_of_the_process_that_failed_are_those_of_the_pod(runs: Runs) -> None:
    run = runs(compute__gpus=2, **PLAIN)
    ended = start(run, lossAt=5, rank=1).end()
    assert ended.code == ExitCode.LOSS_NOT_FINITE, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.error is not None
    assert "step 5" in ended.report.error.message


@pytest.mark.groups
def test_a_defect_in_one_process_is_told_with_its_name(runs: Runs) -> None:
    ended = start(runs(compute__gpus=2, **PLAIN), crashAt=3, rank=1).end()
    assert ended.code == ExitCode.INTERNAL, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.error is not None
    assert "ZeroDivisionError" in ended.report.error.message


@pytest.mark.groups
def test_cuda_out_of_memory_in_one_process_halves_the_micro_batch_of_all(
    runs: Runs, alone: tuple[TrainRun, Ended]
) -> None:
    # A group of which the second process can hold one row only, as it turns out after step 5
    run = runs(compute__gpus=2, **PLAIN)
    # It trains
    ended = start(run, memoryFor=1, memoryAt=6, rank=1).end()
    # The group started again with half the rows, went on from its checkpoint, and said so
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    assert any("2 > 1" in warning for warning in ended.report.warnings)
    assert ended.report.timing is not None
    assert ended.report.timing.from_step == 4
    assert_same_training(run, alone[0])


@pytest.mark.groups
def test_early_stopping_ends_all_processes_at_the_same_step(runs: Runs) -> None:
    # A rate at which the loss soon rises
    changes = PLAIN | {"training__learningRate": 0.5, "training__maxSteps": 60}
    run = runs(compute__gpus=2, training__earlyStopping={"patience": 2}, **changes)
    # It trains
    ended = start(run).end()
    # It stopped early with the best evaluation
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    evaluations = [(entry["eval_loss"], entry["step"]) for entry in run.metrics()[:-1] if "eval_loss" in entry]
    assert evaluations[-1][1] < 60
    assert ended.report is not None
    assert ended.report.metrics is not None
    assert ended.report.metrics.best_step == min(evaluations)[1]


@pytest.mark.groups
def test_gpus_that_cuda_does_not_find_are_refused_in_words(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENV_ALLOW_CPU)
    ended = start(runs(compute__gpus=2)).end()
    assert ended.code == ExitCode.UNSUPPORTED, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.error is not None
    assert "CUDA finds none" in ended.report.error.message
