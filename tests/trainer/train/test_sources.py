"""A run on rows of several sources: the same order after every kill and with several processes, figures for each."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import MODEL_CARD, REPORT
from lora_contract.names import ENV_ALLOW_CPU
from support.groups import PLAIN, assert_same_training
from support.seaweedfs import SeaweedFS
from support.specs import REMOVED
from support.train_runs import Ended, TrainRun, number_rows, prepared_run

from .conftest import Runs

#: A file of JSON lines for each.
ROWS = {"general": 90, "support": 20}


@pytest.fixture(scope="module")
def two_sources(s3_server: SeaweedFS) -> dict[str, Any]:
    """Changes to a run: it has two sources, and the smaller one makes up half of an epoch."""
    bucket = s3_server.bucket()
    rows = number_rows(sum(ROWS.values())).splitlines(keepends=True)
    parts = {"general": rows[: ROWS["general"]], "support": rows[ROWS["general"] :]}
    for name, part in parts.items():
        s3_server.client().put_object(Bucket=bucket, Key=f"{name}.jsonl", Body="".join(part).encode())
    written = [{"name": name, "uri": f"s3://{bucket}/{name}.jsonl", "share": 0.5} for name in ROWS]
    return {"dataset__uri": REMOVED, "dataset__sources": written, "dataset__split": {"validation": 0.2, "test": 0.2}}


@pytest.fixture(scope="module")
def undisturbed(
    s3_server: SeaweedFS,
    sources: tuple[str, str],
    two_sources: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[TrainRun, Ended]:
    run = prepared_run(s3_server, tmp_path_factory.mktemp("undisturbed"), *sources, **two_sources, **PLAIN)
    return run, run.finish()


def test_each_source_has_its_losses_in_status_report_and_model_card(undisturbed: tuple[TrainRun, Ended]) -> None:
    # given a run on two sources
    run, ended = undisturbed
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    plan = run.order.plan
    assert plan is not None
    assert plan.sources is not None
    # then the figures of each stand beside those of all
    assert ended.report is not None
    metrics = ended.report.metrics
    assert metrics is not None
    assert metrics.sources is not None
    assert [source.name for source in metrics.sources] == ["general", "support"]
    for source in metrics.sources:
        for loss in (source.base_eval_loss, source.eval_loss, source.base_test_loss, source.test_loss):
            assert loss is not None
            assert float(loss) > 0
    losses = sorted(float(source.test_loss or 0) for source in metrics.sources)
    assert losses[0] < float(metrics.test_loss or 0) < losses[1]
    # and report and model card show them, with how often each row was trained on
    prefix = run.layout.published("tiny")
    for name in (REPORT, MODEL_CARD):
        text = run.store.read(f"{prefix}/{name}").decode()
        assert "general" in text
        assert "support" in text
        assert f"{float(plan.sources[1].epochs or 0):.3g}" in text


def test_killed_again_and_again_it_trains_on_the_same_rows(
    s3_server: SeaweedFS,
    sources: tuple[str, str],
    two_sources: dict[str, Any],
    tmp_path: Path,
    undisturbed: tuple[TrainRun, Ended],
) -> None:
    run = prepared_run(s3_server, tmp_path, *sources, **two_sources, **PLAIN)
    for step in (1, 5, 11):
        assert run.finish(killAt=step).code == -signal.SIGKILL
    assert run.finish().code == ExitCode.DONE
    assert run.adapter() == undisturbed[0].adapter()
    assert run.metrics() == undisturbed[0].metrics()


@pytest.mark.groups
def test_two_processes_train_on_the_same_rows(
    runs: Runs, two_sources: dict[str, Any], undisturbed: tuple[TrainRun, Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_ALLOW_CPU, "1")
    run = runs(compute__gpus=2, **two_sources, **PLAIN)
    ended = run.start(real=True).end()
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert_same_training(run, undisturbed[0])


def test_what_was_forgotten_is_held_against_the_rows_of_a_source(runs: Runs, two_sources: dict[str, Any]) -> None:
    # given a limit for the loss on one source that no adapter reaches
    gate = {"maxForgettingRatio": 0.01, "forgettingSource": "general"}
    ended = runs(**two_sources, evaluation={"samples": 0, "gate": gate}, **PLAIN).finish()
    # then the adapter is published, and the gate says on which rows it was missed
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    assert str(ended.report.gate_failed).startswith("the loss on the test rows of source general is ")
