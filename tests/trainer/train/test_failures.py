"""Each way in which training can fail ends with its exit code, words that help, and nothing half done."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import MANIFEST
from support.seaweedfs import ADMIN
from support.train_runs import Ended

from .conftest import Runs


def error_of(ended: Ended, code: ExitCode) -> tuple[str, str, str]:
    """Message, field and hint of a failed process; none of them shows a stack trace or a secret."""
    assert ended.code == code, ended.log[-3000:]
    assert ended.report is not None
    error = ended.report.error
    assert error is not None
    text = ended.report.model_dump_json()
    assert "Traceback" not in text
    assert ADMIN.secret_key not in text
    return error.message, error.param or "", error.hint or ""


def test_a_loss_that_is_not_a_number_ends_the_run_with_its_step(runs: Runs) -> None:
    message, param, hint = error_of(runs().finish(lossAt=5), ExitCode.LOSS_NOT_FINITE)
    assert "step 5" in message
    assert param == "spec.training.learningRate"
    assert "Lower" in hint


def test_an_adapter_that_gets_no_gradient_ends_the_run_at_the_first_step(runs: Runs) -> None:
    ended = runs().finish(frozen=True)
    message, param, _ = error_of(ended, ExitCode.BAD_CONFIG)
    assert "no gradient" in message
    assert param == "spec.lora.targetModules"
    assert "step 2 done" not in ended.log


def test_a_run_of_one_step_learns_something(runs: Runs) -> None:
    run = runs(training__maxSteps=1)
    ended = run.finish()
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert any(tensor.any() for name, tensor in load(run.adapter()).items() if "lora_B" in name)


def test_a_run_that_learns_nothing_is_not_published(runs: Runs) -> None:
    # A learning rate at which no weight changes an answer
    run = runs(training__learningRate=1e-30)
    message, param, hint = error_of(run.finish(), ExitCode.NOTHING_LEARNED)
    # The run says so and what to do, and there is no adapter
    assert "nothing was learned" in message
    assert param == "spec.training.learningRate"
    assert "Raise training.learningRate" in hint
    assert run.objects(run.layout.published(run.order.name)) == []


def test_cuda_out_of_memory_halves_the_micro_batch_and_gives_the_same_result(runs: Runs) -> None:
    # A device on which only two rows fit, as it turns out after step 5
    run, undisturbed = runs(lora__dropout=0), runs(lora__dropout=0)
    assert undisturbed.finish().code == ExitCode.DONE
    # A run starts with four
    ended = run.start(real=True, memoryFor=2, memoryAt=6).end()
    # The process replaced itself, went on from its checkpoint, and said so
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    assert any("4 > 2" in warning for warning in ended.report.warnings)
    assert ended.report.timing is not None
    assert ended.report.timing.from_step == 4
    # The losses are those of the undisturbed run, because the effective batch is the same
    for mine, other in zip(run.metrics()[:-1], undisturbed.metrics()[:-1], strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-4)


def test_cuda_out_of_memory_with_one_row_says_what_would_fit(runs: Runs) -> None:
    ended = runs(training__microBatchSize=1).finish(memoryFor=0)
    message, param, hint = error_of(ended, ExitCode.CUDA_OUT_OF_MEMORY)
    assert "one row" in message
    assert param == "spec.training.maxLength"
    assert "48" in hint


def test_a_process_in_which_nothing_happens_shows_its_stacks_and_ends(runs: Runs) -> None:
    ended = runs().finish(hangAt=5, patience=3.0)
    message, _, _ = error_of(ended, ExitCode.STALLED)
    assert "nothing happened" in message
    assert "on_step_end" in ended.log
    assert "most recent call first" in ended.log


def test_a_defect_shows_its_stack_in_the_log_alone(runs: Runs) -> None:
    ended = runs().finish(crashAt=3)
    message, _, _ = error_of(ended, ExitCode.INTERNAL)
    assert "ZeroDivisionError" in message
    assert "Traceback" in ended.log


def test_a_missed_gate_publishes_and_says_so(runs: Runs) -> None:
    # A limit that cannot be reached
    run = runs(evaluation__gate={"maxLossRatio": 0.01})
    # The run ends
    ended = run.finish()
    # It ended well, the adapter is there, and both report and manifest name the limit
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    assert "gate.maxLossRatio" in (ended.report.gate_failed or "")
    manifest = json.loads(run.store.read(f"{run.layout.published('tiny')}/{MANIFEST}"))
    assert manifest["gateFailed"] == ended.report.gate_failed


def test_prepared_rows_that_are_gone_are_missed_by_name(runs: Runs) -> None:
    run = runs()
    run.store.delete(run.layout.prepared)
    message, param, _ = error_of(run.finish(), ExitCode.INPUT_MISSING)
    assert run.layout.prepared in message
    assert param == "spec.output.uri"


def test_a_gpu_that_cuda_does_not_find_is_refused_in_words(runs: Runs) -> None:
    message, param, hint = error_of(runs(compute__gpus=1).finish(), ExitCode.UNSUPPORTED)
    assert "CUDA finds none" in message
    assert param == "spec.compute.gpus"
    assert "compute.gpus: 0" in hint


def test_early_stopping_publishes_the_best_adapter(runs: Runs, unlike_rows: str) -> None:
    # Validation rows at which the model gets worse with every step, and a patience of two evaluations
    run = runs(
        dataset__validationUri=unlike_rows,
        training__learningRate=0.05,
        training__maxSteps=60,
        training__earlyStopping={"patience": 2},
    )
    # It is killed in between and goes on
    run.finish(killAt=7)
    ended = run.finish()
    # It stopped early, and the best evaluation lies before the last one
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    evaluations = [(entry["eval_loss"], entry["step"]) for entry in run.metrics()[:-1] if "eval_loss" in entry]
    assert evaluations[-1][1] < 60, evaluations
    assert ended.report is not None
    assert ended.report.metrics is not None
    assert ended.report.metrics.best_step == min(evaluations)[1]
    assert len(evaluations) - 1 - evaluations.index(min(evaluations)) == 2
