"""A run that goes on from a published adapter: what it begins with, what it is compared with, what it publishes."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import ADAPTER_WEIGHTS, MANIFEST, MODEL_CARD, REPORT
from support.groups import PLAIN, assert_same_training
from support.seaweedfs import SeaweedFS
from support.train_runs import Ended, TrainRun, prepared_run

# Step and rows apart, the child is asked for what its parent was.
CHILD = {"training__maxSteps": 6, "training__seed": 7}


def address(run: TrainRun) -> str:
    return run.layout.published(run.order.name)


def goes_on_from(run: TrainRun) -> dict[str, Any]:
    return {"from": {"adapter": f"{address(run)}/"}}


def losses_of(run: TrainRun) -> Path:
    return run.folder / "losses"


@pytest.fixture(scope="module")
def parent(
    s3_server: SeaweedFS, sources: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainRun, Ended]:
    run = prepared_run(s3_server, tmp_path_factory.mktemp("parent"), *sources)
    losses_of(run).mkdir()
    ended = run.finish(losses=str(losses_of(run)))
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    return run, ended


@pytest.fixture(scope="module")
def child(
    s3_server: SeaweedFS,
    sources: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    parent: tuple[TrainRun, Ended],
) -> tuple[TrainRun, Ended]:
    folder = tmp_path_factory.mktemp("child")
    run = prepared_run(s3_server, folder, *sources, **CHILD, **goes_on_from(parent[0]))
    losses_of(run).mkdir()
    ended = run.finish(losses=str(losses_of(run)))
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    return run, ended


def test_base_parent_and_adapter_are_compared_on_the_same_rows(
    parent: tuple[TrainRun, Ended], child: tuple[TrainRun, Ended]
) -> None:
    of_parent, of_child = parent[1].report, child[1].report
    assert of_parent is not None
    assert of_child is not None
    before, after = of_parent.metrics, of_child.metrics
    assert before is not None
    assert after is not None
    # Same data, same split: base and parent are what they were when the parent was published
    assert after.base_test_loss == before.base_test_loss
    assert after.parent_test_loss == before.test_loss
    # and the child is another adapter.
    assert after.test_loss != before.test_loss
    assert child[0].adapter() != parent[0].adapter()


def test_manifest_card_and_report_name_the_parent(
    parent: tuple[TrainRun, Ended], child: tuple[TrainRun, Ended]
) -> None:
    run, where = child[0], address(parent[0])
    content = run.store.read(f"{where}/{MANIFEST}")
    digest = hashlib.sha256(content).hexdigest()

    manifest = json.loads(run.store.read(f"{address(run)}/{MANIFEST}"))

    (ancestor,) = manifest["ancestors"]
    assert (ancestor["uri"], ancestor["manifestDigest"]) == (where, digest)
    assert ancestor["runId"] == parent[0].order.run_id
    assert "ancestors" not in json.loads(content)
    card = run.store.read(f"{address(run)}/{MODEL_CARD}").decode()
    assert f"Goes on from the adapter | {where}, manifest {digest}" in card
    assert "| Base | Parent | Adapter |" in card
    assert digest in run.store.read(f"{address(run)}/{REPORT}").decode()


def test_before_its_first_step_the_loss_is_that_of_the_parent_to_the_bit(
    parent: tuple[TrainRun, Ended], child: tuple[TrainRun, Ended]
) -> None:
    published, at_step_0 = (losses_of(run) / name for run, name in ((parent[0], "after"), (child[0], "before")))
    assert at_step_0.read_text() == published.read_text()


def test_killed_again_and_again_it_gives_the_same_adapter(
    s3_server: SeaweedFS,
    sources: tuple[str, str],
    parent: tuple[TrainRun, Ended],
    child: tuple[TrainRun, Ended],
    tmp_path: Path,
) -> None:
    # The same child once more, killed before and after its checkpoint at step 4, and at its last step
    run = prepared_run(s3_server, tmp_path, *sources, **CHILD, **goes_on_from(parent[0]))
    assert run.order.run_id == child[0].order.run_id
    for step in (2, 5, 6):
        assert run.finish(killAt=step).code == -signal.SIGKILL

    ended = run.finish()

    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert run.adapter() == child[0].adapter()
    assert run.metrics() == child[0].metrics()


@pytest.mark.usefixtures("processes_on_the_cpu")
def test_several_processes_go_on_from_the_same_weights_as_one(
    s3_server: SeaweedFS, sources: tuple[str, str], parent: tuple[TrainRun, Ended], tmp_path: Path
) -> None:
    changes = {"training__seed": 7} | PLAIN | goes_on_from(parent[0])
    one, two = (
        prepared_run(s3_server, tmp_path / name, *sources, **changes, compute__gpus=gpus)
        for name, gpus in (("one", 0), ("two", 2))
    )
    assert one.finish().code == ExitCode.DONE

    ended = two.start(real=True).end()

    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert_same_training(two, one)


def test_a_child_that_changed_nothing_is_not_published(
    s3_server: SeaweedFS, sources: tuple[str, str], parent: tuple[TrainRun, Ended], tmp_path: Path
) -> None:
    run = prepared_run(
        s3_server, tmp_path, *sources, training__maxSteps=1, training__learningRate=1e-12, **goes_on_from(parent[0])
    )
    ended = run.finish()
    assert ended.code == ExitCode.NOTHING_LEARNED, ended.log[-3000:]
    assert "answers exactly like the adapter that it goes on from" in ended.log


def test_a_child_that_is_worse_than_its_parent_misses_the_gate(
    s3_server: SeaweedFS, sources: tuple[str, str], unlike_rows: str, parent: tuple[TrainRun, Ended], tmp_path: Path
) -> None:
    # It is trained on rows that have nothing in common with those on which both are tested
    limits = {"dataset__testUri": sources[1], "evaluation__gate": {"maxLossRatioToParent": 1.0}}
    run = prepared_run(s3_server, tmp_path, sources[0], unlike_rows, **CHILD, **limits, **goes_on_from(parent[0]))
    ended = run.finish()
    assert ended.code == ExitCode.DONE, ended.log[-3000:]
    assert ended.report is not None
    assert "above gate.maxLossRatioToParent 1" in (ended.report.gate_failed or "")


def test_a_parent_that_is_changed_after_prepare_is_not_trained_on(
    s3_server: SeaweedFS, sources: tuple[str, str], tmp_path: Path
) -> None:
    # A parent of its own, and a child that is prepared
    (tmp_path / "parent").mkdir()
    of = prepared_run(s3_server, tmp_path / "parent", *sources, training__maxSteps=2)
    assert of.finish().code == ExitCode.DONE
    run = prepared_run(s3_server, tmp_path, *sources, training__maxSteps=2, **goes_on_from(of))
    # Somebody puts other weights there
    weights = f"{address(of)}/{ADAPTER_WEIGHTS}"
    content = bytearray(of.store.read(weights))
    content[-1] ^= 1
    of.store.write(weights, bytes(content))

    ended = run.finish()

    assert ended.code == ExitCode.BAD_CONFIG, ended.log[-3000:]
    assert ended.report is not None
    assert ended.report.error is not None
    assert ended.report.error.param == "spec.from.adapter"
    assert "somebody changed it" in ended.report.error.message
