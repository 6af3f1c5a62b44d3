"""Nothing that is done is done twice."""

from __future__ import annotations

from typing import Any

import pytest

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.identity import spec_hash
from support.pod_reports import ARTIFACT, TRAINED, failed_report
from support.run_story import Story, given_training


def finished_run(changes: dict[str, Any] | None = None) -> Story:
    return given_training(changes).stage_succeeds("train", TRAINED).decides()


def test_a_finished_run_whose_jobs_are_gone_starts_nothing() -> None:
    story = finished_run()
    story.jobs.clear()
    story.pods.clear()

    decision = story.asked()

    assert decision.actions == ()
    assert decision.status == story.status


def test_a_phase_edited_by_hand_is_put_right_and_starts_nothing() -> None:
    story = finished_run()
    story.body["status"]["phase"] = "Pending"

    story.decides()

    assert story.status.phase == "Complete"
    assert story.decisions[-1].actions == ()


def test_nonsense_written_into_the_status_does_not_open_the_latch() -> None:
    story = finished_run()
    story.body["status"]["progress"] = "all of it"

    story.decides()

    assert story.status.finished
    assert story.decisions[-1].actions == ()


def test_a_failed_run_stays_failed() -> None:
    report = failed_report("the loss is not finite at step 3")
    story = given_training().pod_ends("train", 81, report).job_ends("train", "Failed", "PodFailurePolicy").decides()
    story.jobs.clear()

    story.after(100).decides()

    assert story.condition("Failed") == ("True", "LossNotFinite")
    assert story.decisions[-1].actions == ()


@pytest.mark.parametrize("changes", [{"suspend": True}, {"ttlSecondsAfterFinished": 60_000}, {"retries": 7}])
def test_a_change_beside_the_recipe_is_noticed_and_starts_nothing(changes: dict[str, Any]) -> None:
    story = finished_run().user_sets(changes).decides()

    assert story.status.observed_generation == 2
    assert {c.observed_generation for c in story.status.conditions} == {2}
    assert story.condition("Complete")[0] == "True"
    assert story.decisions[-1].actions == ()


def test_a_changed_recipe_without_rerun_starts_nothing() -> None:
    story = finished_run().user_sets({"lora.r": 8}).decides()

    assert story.decisions[-1].actions == ()


def test_a_new_run_token_runs_again() -> None:
    story = finished_run()
    old = set(story.jobs)

    story.after(9).user_sets({"runToken": "2"}).decides()

    assert story.status.phase == "Preparing"
    assert story.status.artifact is None
    assert story.status.attempts == []
    assert story.status.run_token == "2"
    assert story.status.start_time == story.time
    assert len(story.jobs) == 1
    assert not old & set(story.jobs)
    assert "RunSuperseded" in story.events


def test_a_changed_recipe_with_rerun_runs_again_also_in_mid_run() -> None:
    story = given_training({"updatePolicy": "Rerun"}).user_sets({"lora.r": 8}).decides()

    assert story.stages == ["prepare"]
    assert story.job("prepare")["metadata"]["annotations"]["lora-operator.dev/spec-hash"] == story.status.spec_hash
    assert story.decides().decisions[-1].actions == ()
    assert story.events.count("RunSuperseded") == 1


def test_an_upgrade_with_another_recipe_runs_nothing_again_under_rerun() -> None:
    # A run that an earlier release finished
    story = finished_run({"updatePolicy": "Rerun"})
    spec = LoRAFineTuneSpec.model_validate(story.body["spec"])
    story.body["status"]["specHash"] = spec_hash(spec, recipe=1)
    # This one looks at it, and only then the recipe changes
    story.decides()
    assert story.condition("Complete")[0] == "True"
    assert "RunSuperseded" not in story.events
    story.user_sets({"lora.r": 8}).decides()
    assert story.events.count("RunSuperseded") == 1


def test_rerun_alone_runs_nothing_again() -> None:
    story = finished_run().user_sets({"updatePolicy": "Rerun"}).decides()

    assert story.condition("Complete")[0] == "True"
    assert story.decisions[-1].actions == ()


def test_finished_jobs_are_kept_for_their_time_and_then_deleted() -> None:
    story = finished_run({"ttlSecondsAfterFinished": 100}).after(40).decides()
    assert len(story.jobs) == 2
    assert story.decisions[-1].requeue_after == pytest.approx(60)

    story.after(61).decides()

    assert story.jobs == {}
    assert story.status.artifact == ARTIFACT
    assert story.decides().decisions[-1].actions == ()


def test_no_job_goes_away_by_itself_before_its_result_is_latched() -> None:
    story = given_training({"ttlSecondsAfterFinished": 0})

    assert all("ttlSecondsAfterFinished" not in job["spec"] for job in story.jobs.values())
