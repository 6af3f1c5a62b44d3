"""A run that goes on from another run's adapter waits for it without a pod, and fails where that one failed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lora_contract import names
from lora_contract.order import Order
from lora_contract.report import Report
from lora_contract.status import ParentStatus
from lora_operator.core.observe.observed import FineTune
from support.job_manifests import container
from support.pod_reports import ARTIFACT, PREPARED, TRAINED, failed_report
from support.run_story import Story, given_finetune, given_training

FROM_BASE = {"from": {"run": "base"}}
WAITS = ("True", "WaitingForRun")
ADDRESS = "s3://adapters/team-a/base/0123"
FOUND = ParentStatus(run="base", uri=ARTIFACT.uri, manifest_digest=ARTIFACT.manifest_digest)


def run_of(story: Story, **changes: Any) -> FineTune:
    """The run that a story is about, as one of the name that the child waits for."""
    body = json.loads(json.dumps(story.body))
    body["metadata"] |= {"name": "base", "uid": "base-uid"}
    body["metadata"] |= changes
    return FineTune.from_dict(body)


def trained() -> FineTune:
    story = given_training()
    return run_of(story.after(60).stage_succeeds("train", TRAINED).decides())


def failed() -> FineTune:
    report = failed_report("rows.jsonl:3: no answer", stage="prepare")
    story = given_finetune().decides().after(2).pod_ends("prepare", 65, report)
    return run_of(story.job_ends("prepare", "Failed", "PodFailurePolicy", failed=1).decides())


def parent_told_to(story: Story, stage: str) -> ParentStatus | None:
    """The adapter that the pods of a stage are told to go on from."""
    variables = container(story.job(stage))["env"]
    order = next(variable["value"] for variable in variables if variable["name"] == names.ENV_ORDER)
    return Order.model_validate_json(order).parent


def child(parent: FineTune | None, **spec: Any) -> Story:
    story = given_finetune(FROM_BASE | spec)
    story.parent = parent
    return story.decides()


def test_without_the_other_run_it_waits_and_says_so() -> None:
    story = child(None)

    assert story.condition("Reconciling") == WAITS
    assert story.status.phase == "Pending"
    assert story.message.startswith("Waits for run base, which does not exist in this namespace. Create it there;")
    assert story.stages == []


def test_waiting_writes_nothing_again() -> None:
    story = child(None)
    writes = story.writes
    assert story.after(3600).decides().writes == writes


def test_it_says_what_the_other_run_does() -> None:
    assert "Waits for run base, which is Running." in child(run_of(given_training())).message


def test_a_run_that_nobody_has_looked_at_is_pending() -> None:
    assert "Waits for run base, which is Pending." in child(run_of(given_finetune())).message


def test_the_adapter_is_in_the_status_before_there_is_a_job() -> None:
    # The other run is complete when this one looks for the first time.
    story = child(trained())
    assert story.status.parent == FOUND
    assert story.stages == []
    assert story.decisions[-1].requeue_after == 0

    # With the next look it is prepared, and the pod is told of the adapter that the status has.
    story.decides()
    assert story.stages == ["prepare"]
    assert parent_told_to(story, "prepare") == FOUND


def test_the_train_pod_is_told_of_the_same_adapter() -> None:
    story = child(trained()).decides().after(2).stage_succeeds("prepare", PREPARED).decides()
    assert parent_told_to(story, "train") == FOUND


@pytest.mark.parametrize("later", [None, failed()], ids=["deleted", "runs anew and fails"])
def test_what_it_saw_first_stays(later: FineTune | None) -> None:
    story = child(trained())
    story.parent = later

    story.decides().after(2).stage_succeeds("prepare", PREPARED).decides()

    assert story.status.parent == FOUND
    assert story.stages == ["prepare", "train"]


def test_it_fails_with_the_name_and_the_reason_of_the_other_run() -> None:
    story = child(failed())

    assert story.condition("Failed") == ("True", "ParentFailed")
    assert "Run base, which spec.from.run names, failed: BadData: rows.jsonl:3: no answer" in story.message
    assert story.status.error is not None
    assert story.status.error.param == "spec.from.run"
    assert story.stages == []


def test_a_missed_gate_is_a_failure_too_and_the_hint_says_how_to_go_on() -> None:
    missed = TRAINED.model_copy(update={"gate_failed": "test loss 2.0 is 1.1 of the base model's"})
    parent = run_of(given_training().after(60).stage_succeeds("train", missed).decides())

    story = child(parent)

    assert "failed: QualityGateFailed: " in story.message
    assert "from.adapter" in story.message


def test_a_run_that_is_refused_is_waited_for_until_it_is_corrected() -> None:
    refused = run_of(given_finetune({"storage": {"endpoint": "https://elsewhere.example"}}).decides())
    assert refused.status.refused

    story = child(refused)

    assert story.condition("Reconciling") == WAITS
    assert "which is refused until it is corrected: spec.storage.endpoint" in story.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"generation": 2}, "was just changed"), ({"deletionTimestamp": "2026-01-02T03:04:05Z"}, "is being deleted")],
    ids=["edited", "deleted"],
)
def test_an_adapter_that_is_about_to_be_another_is_not_taken(changes: dict[str, Any], words: str) -> None:
    story = given_training().after(60).stage_succeeds("train", TRAINED).decides()
    waits = child(run_of(story, **changes))
    assert waits.condition("Reconciling") == WAITS
    assert words in waits.message


def test_runs_that_wait_for_each_other_are_refused() -> None:
    story = given_finetune(FROM_BASE)
    story.parent, story.parents_in_circle = run_of(given_finetune({"from": {"run": "triage"}})), True

    story.decides()

    assert story.status.refused
    assert "spec.from.run: names run base, which in the end waits for this run" in story.message
    writes = story.writes
    assert story.after(600).decides().after(600).decides().writes == writes

    # The other one is corrected: this one goes on.
    story.parent, story.parents_in_circle = trained(), False
    assert story.decides().decides().stages == ["prepare"]


def test_while_it_is_suspended_it_neither_waits_nor_begins() -> None:
    story = child(trained(), suspend=True)
    assert story.status.phase == "Suspended"
    assert story.user_sets({"suspend": False}).decides().decides().stages == ["prepare"]


def test_another_parent_under_rerun_is_another_run() -> None:
    story = child(trained(), updatePolicy="Rerun").decides().after(2).stage_succeeds("prepare", PREPARED).decides()

    story.user_sets({"from": {"run": "other"}})
    story.parent = None
    story.decides()

    assert "RunSuperseded" in story.events
    assert story.status.parent is None
    assert "Waits for run other" in story.message


def test_of_an_address_the_digest_is_what_prepare_found() -> None:
    said = ParentStatus(run="forged", uri="s3://elsewhere/adapter", manifest_digest="c" * 64)
    report: Report = PREPARED.model_copy(update={"parent": said})
    story = given_finetune({"from": {"adapter": f"{ADDRESS}/"}}).decides().after(2)

    story.stage_succeeds("prepare", report).decides()

    assert story.status.parent == ParentStatus(uri=ADDRESS, manifest_digest="c" * 64)
    assert story.stages == ["prepare", "train"]


def test_no_pod_changes_the_adapter_of_a_run_that_is_known() -> None:
    said = PREPARED.model_copy(update={"parent": ParentStatus(uri="s3://elsewhere", manifest_digest="c" * 64)})
    story = child(trained()).decides().after(2).stage_succeeds("prepare", said).decides()
    assert story.status.parent == FOUND
