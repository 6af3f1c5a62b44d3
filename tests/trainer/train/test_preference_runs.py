"""Runs that learn preferences: the same adapter after every kill and with several processes, a reference asked once."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import MANIFEST, MODEL_CARD, REPORT
from support import preference_rows
from support.groups import PLAIN, assert_same_training
from support.seaweedfs import SeaweedFS
from support.train_runs import STEPS, Ended, TrainRun, prepared_run

ASKED, KNOWN = "the reference is asked about", "what the reference says of"

Prepared = Callable[..., TrainRun]


@pytest.fixture(scope="module", params=["dpo", "kto"])
def method(request: pytest.FixtureRequest, s3_server: SeaweedFS) -> dict[str, Any]:
    """Changes to a run: it learns preferences by one of the methods."""
    bucket = s3_server.bucket()
    rows = preference_rows.pairs(90) if request.param == "dpo" else preference_rows.completions(120)
    s3_server.client().put_object(Bucket=bucket, Key="rows.jsonl", Body=rows.encode())
    return {
        "dataset__uri": f"s3://{bucket}/rows.jsonl",
        "dataset__split": {"validation": 0.2, "test": 0.2},
        "method": {request.param: {"beta": 0.3}},
        "training__maxLength": 160,
    }


@pytest.fixture(scope="module")
def undisturbed(
    s3_server: SeaweedFS, sources: tuple[str, str], method: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainRun, Ended]:
    run = prepared_run(s3_server, tmp_path_factory.mktemp("undisturbed"), *sources, **method)
    return run, run.finish()


@pytest.fixture
def prepared(s3_server: SeaweedFS, sources: tuple[str, str], method: dict[str, Any], tmp_path: Path) -> Prepared:
    """Makes prepared runs."""
    made = 0

    def make(**changes: Any) -> TrainRun:
        nonlocal made
        made += 1
        return prepared_run(s3_server, tmp_path / f"run-{made}", *sources, **(method | changes))

    return make


def test_what_is_preferred_stands_in_status_documents_and_manifest(
    undisturbed: tuple[TrainRun, Ended], method: dict[str, Any]
) -> None:
    # A run that nothing disturbed
    run, ended = undisturbed
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    metrics = ended.report.metrics
    assert metrics is not None
    # The adapter learned to prefer polite answers, and the base knows nothing of that
    assert metrics.preferences is not None
    assert metrics.base_preferences is not None
    assert float(metrics.preferences.accuracy or 0) > 0.9
    assert float(metrics.preferences.accuracy or 0) > float(metrics.base_preferences.accuracy or 0)
    assert float(metrics.preferences.margin or 0) > 0
    assert float(metrics.base_preferences.kl or 1) == 0
    assert float(metrics.base_preferences.chosen_loss or 0) > 0
    assert metrics.preferences.length_ratio is not None
    assert float(metrics.test_loss or 0) < float(metrics.base_test_loss or 0)
    # Report, model card and history tell it, and the manifest by which method
    prefix = run.layout.published("tiny")
    for name in (REPORT, MODEL_CARD):
        text = run.store.read(f"{prefix}/{name}").decode()
        assert "Accuracy of preferences" in text
        assert "optimisation" in text
    history = run.metrics()
    assert {entry["step"] for entry in history[:-1] if "eval_preference_accuracy" in entry} == {3, 6, 9, 12}
    assert "testPreferenceAccuracy" in history[-1]["final"]
    manifest = json.loads(run.store.read(f"{prefix}/{MANIFEST}"))
    assert manifest["method"].keys() == method["method"].keys()
    # The work is cleared away; what the reference said stays for other runs
    assert run.objects(run.layout.work) == []
    assert len(run.objects(run.layout.reference("x").rpartition("/")[0])) == 6


def test_killed_again_and_again_it_gives_the_same_adapter_and_asks_the_reference_once(
    prepared: Prepared, undisturbed: tuple[TrainRun, Ended]
) -> None:
    # A run that is killed at its first step, between checkpoints, at a checkpoint, and at the last step
    run = prepared()
    logs = []
    for step in (1, 6, 8, 12):
        ended = run.finish(killAt=step)
        assert ended.code == -signal.SIGKILL, ended.log[-3000:]
        logs.append(ended.log)
    ended = run.finish()
    # The result is the same to the bit
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert run.adapter() == undisturbed[0].adapter()
    assert run.metrics() == undisturbed[0].metrics()
    # Only the first process asked the reference
    assert ASKED in logs[0]
    assert all(ASKED not in log and KNOWN in log for log in (*logs[1:], ended.log))


@pytest.mark.groups
def test_killed_at_every_step_of_twenty_it_gives_the_same_adapter(prepared: Prepared) -> None:
    undisturbed, run = (prepared(training__maxSteps=20) for _ in range(2))
    assert undisturbed.finish().code == ExitCode.DONE
    for step in range(1, 21):
        assert run.finish(killAt=step).code == -signal.SIGKILL
    assert run.finish().code == ExitCode.DONE
    assert run.adapter() == undisturbed.adapter()
    assert run.metrics() == undisturbed.metrics()


def test_runs_with_another_beta_use_what_the_reference_said(
    prepared: Prepared, undisturbed: tuple[TrainRun, Ended], method: dict[str, Any]
) -> None:
    # A trial of a sweep over beta, with the same rows and the same place for results
    (name,) = method["method"]
    run = prepared(method={name: {"beta": 1.0}}, output__uri=undisturbed[0].order.spec.output.uri)
    assert run.order.run_id != undisturbed[0].order.run_id
    ended = run.finish()
    # It asks nothing, and learns something else
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ASKED not in ended.log
    assert ended.log.count(KNOWN) == 3
    assert run.adapter() != undisturbed[0].adapter()


def test_what_was_damaged_is_asked_again(prepared: Prepared, undisturbed: tuple[TrainRun, Ended]) -> None:
    # What the reference said is damaged while a run is killed
    run = prepared()
    assert run.finish(killAt=2).code == -signal.SIGKILL
    kept = [uri for uri in run.objects(run.layout.reference("x").rpartition("/")[0]) if uri.endswith(".safetensors")]
    run.store.write(kept[0], b"damaged")
    # The next process asks again, and the result is the same
    ended = run.finish()
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert "does not fit" in ended.log
    assert ended.log.count(ASKED) == 1
    assert run.adapter() == undisturbed[0].adapter()


@pytest.mark.groups
@pytest.mark.usefixtures("processes_on_the_cpu")
def test_two_processes_train_like_one(prepared: Prepared) -> None:
    alone, run = prepared(**PLAIN), prepared(compute__gpus=2, **PLAIN)
    assert alone.finish().code == ExitCode.DONE
    ended = run.start(real=True).end()
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert len(run.metrics()) == STEPS + 1
    assert_same_training(run, alone)


def test_an_adapter_that_prefers_too_little_misses_the_gate(prepared: Prepared) -> None:
    # A run of one small step, whose gate asks for all preferences
    gate = {"samples": 0, "gate": {"minPreferenceAccuracy": 1}}
    ended = prepared(training__maxSteps=1, training__learningRate=1e-7, evaluation=gate).finish()
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    assert str(ended.report.gate_failed).startswith("accuracy of preferences ")
    assert "gate.minPreferenceAccuracy 1" in str(ended.report.gate_failed)


def test_preferences_are_learned_on_top_of_the_adapter_that_a_run_goes_on_from(
    prepared: Prepared, method: dict[str, Any], s3_server: SeaweedFS, sources: tuple[str, str], tmp_path: Path
) -> None:
    # An adapter that learned answers, and a run that goes on from it with preferences
    parent = prepared_run(s3_server, tmp_path / "parent", *sources, lora__dropout=0)
    assert parent.finish().code == ExitCode.DONE
    run = prepared(lora__dropout=0, **{"from": {"adapter": f"{parent.layout.published('tiny')}/"}})
    # It is killed on the way
    assert run.finish(killAt=3).code == -signal.SIGKILL
    ended = run.finish()
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ASKED not in ended.log
    # It begins where nothing is preferred to what that adapter says
    nothing_preferred = {"dpo": math.log(2), "kto": 0.5}
    (name,) = method["method"]
    assert run.metrics()[0]["loss"] == pytest.approx(nothing_preferred[name], rel=1e-4)
    # That adapter is the reference in the figures, and the base is another model
    final = run.metrics()[-1]["final"]
    assert float(final["parentTestLoss"]) == pytest.approx(nothing_preferred[name], rel=1e-4)
    assert float(final["baseTestLoss"]) != pytest.approx(nothing_preferred[name], rel=1e-3)
    assert float(final["preferences"]["accuracy"]) > 0.9
