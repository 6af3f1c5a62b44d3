"""A finished run compares its data with what it was trained on when it is asked, and stays finished."""

from __future__ import annotations

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.names import CONTAINER
from lora_contract.report import Report
from lora_operator.core.observe.resource import CreateError
from support.pod_reports import RUN_ID, TRAINED, failed_report
from support.run_story import Story, given_training

DIGEST = "d" * 64
CHANGED = Report(stage="check", run_id=RUN_ID, dataset_digest=DIGEST, inputs_drifted=True)
UNCHANGED = CHANGED.model_copy(update={"inputs_drifted": False})


def finished() -> Story:
    story = given_training().after(60).stage_succeeds("train", TRAINED).decides().decides()
    assert story.condition("Complete")[0] == "True"
    return story


def asked(value: str = "1", story: Story | None = None) -> Story:
    return (story or finished()).user_sets({"checkToken": value}).decides()


def types(story: Story) -> list[str]:
    return [condition.type for condition in story.status.conditions]


def test_nobody_is_told_what_nobody_asked() -> None:
    assert "InputsDrifted" not in types(finished())
    assert "check" not in finished().stages


def test_the_check_reads_data_on_a_cpu_and_writes_nothing() -> None:
    job = asked().job("check")
    (container,) = job["spec"]["template"]["spec"]["containers"]

    assert container["name"] == CONTAINER
    assert container["args"] == ["prepare", "--check"]
    assert "nvidia.com/gpu" not in str(container["resources"])
    assert job["spec"]["activeDeadlineSeconds"] > 0
    assert "suspend" not in job["spec"], "it needs no quota"


def test_changed_data_is_told_and_nothing_is_trained() -> None:
    story = asked().after(30).stage_succeeds("check", CHANGED).decides()

    assert story.condition("InputsDrifted") == ("True", "DatasetChanged")
    assert story.condition("Complete") == ("True", "AdapterPublished")
    assert story.status.phase == "Complete"
    assert story.status.inputs is not None
    assert (story.status.inputs.check_token, story.status.inputs.dataset_digest) == ("1", DIGEST)
    assert story.events[-1] == "DatasetChanged"
    assert story.stages.count("train") == 1


def test_unchanged_data_is_told_too() -> None:
    story = asked().after(30).stage_succeeds("check", UNCHANGED).decides()

    assert story.condition("InputsDrifted") == ("False", "InputsUnchanged")


def test_a_token_asks_once_and_another_token_again() -> None:
    story = asked().after(30).stage_succeeds("check", UNCHANGED).decides()
    writes = story.writes
    story.after(3600).decides().decides()
    assert story.writes == writes

    asked("2", story).after(30).stage_succeeds("check", CHANGED).decides()

    assert story.condition("InputsDrifted") == ("True", "DatasetChanged")
    assert types(story).count("InputsDrifted") == 1


def test_data_that_cannot_be_read_is_neither_changed_nor_unchanged() -> None:
    report = failed_report("there is nothing at s3://datasets/triage.jsonl", stage="check")
    story = asked().pod_ends("check", ExitCode.INPUT_MISSING, report)
    story.job_ends("check", "Failed", "PodFailurePolicy").decides()

    assert story.condition("InputsDrifted") == ("Unknown", "InputMissing")
    assert story.condition("Complete")[0] == "True"


def test_a_check_that_cannot_run_ends_too() -> None:
    story = asked().after(6 * 3600).job_ends("check", "Failed", "DeadlineExceeded").decides().after(3).decides()

    assert story.condition("InputsDrifted") == ("Unknown", "ReportMissing")


def test_a_check_that_is_refused_is_tried_again() -> None:
    story = finished().user_sets({"checkToken": "1"})
    name = story.asked().actions[0].name  # type: ignore[union-attr]
    story.create_error = CreateError(name, 403, "exceeded quota", story.monotonic)

    assert story.decides().decisions[-1].requeue_after == pytest.approx(15)
    assert "check" not in story.stages
    assert "check" in story.after(16).decides().stages


def test_the_check_goes_away_with_the_other_jobs() -> None:
    story = asked().after(30).stage_succeeds("check", CHANGED).decides()

    story.after(86400).decides()

    assert story.jobs == {}


def test_a_run_under_way_is_not_checked() -> None:
    story = given_training({"checkToken": "1"}).after(5).decides()

    assert story.stages == ["prepare", "train"]
