"""An edit of the spec of a run that is under way is heeded as soon as no pod runs, and never lost in silence."""

from __future__ import annotations

from typing import Any

import pytest

from lora_operator.core.observe.observed import WarningEvent, Warnings
from support.cluster_story import workload_condition
from support.pod_reports import PREPARED, TRAINED, failed_report
from support.run_story import Story, given_finetune, given_training

LATER = ["The spec was edited: the change takes effect with the next pod."]


def resources(story: Story, stage: str = "train") -> dict[str, Any]:
    (container,) = story.job(stage)["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container["resources"]
    return found


def given_train_job(changes: dict[str, Any] | None = None) -> Story:
    """A run whose train Job was just made."""
    return given_finetune(changes).decides().after(2).stage_succeeds("prepare", PREPARED).decides()


def is_made_anew(story: Story) -> Story:
    """The operator says why, deletes the Job, and makes another one."""
    story.decides()
    assert "made anew" in story.message
    assert story.decisions[-1].actions == ()
    story.decides()
    assert "JobDeleted" not in story.events
    return story


def test_pods_that_a_quota_refuses_get_the_limit_that_the_user_sets() -> None:
    story = given_train_job().after(5).decides()
    words = "failed quota: compute: must specify limits.cpu for: trainer"
    job = story.job("train")["metadata"]["name"]
    story.warnings = Warnings(job, story.monotonic, (WarningEvent("FailedCreate", words, story.now),))
    assert story.decides().condition("Reconciling") == ("True", "AdmissionDenied")

    is_made_anew(story.user_sets({"compute.cpuLimit": "8"}))

    assert resources(story)["limits"]["cpu"] == "8"
    assert story.stages == ["prepare", "train"]


@pytest.mark.parametrize("edit", [{"compute.nodeSelector": {"pool": "a"}}, {"compute.gpus": 2}, {"retries": 7}])
def test_a_pod_that_found_no_node_is_made_anew(edit: dict[str, Any]) -> None:
    story = given_train_job().pod_is_unschedulable("train", "0/3 nodes are available").decides().after(60).decides()

    is_made_anew(story.user_sets(edit))


def test_a_pod_that_runs_goes_on_and_the_next_one_heeds_the_edit() -> None:
    story = given_training().after(30).user_sets({"compute.memory": "64Gi"}).decides()
    assert story.status.phase == "Running"
    assert story.status.warnings == LATER
    assert resources(story)["limits"]["memory"] == "16Gi"

    is_made_anew(story.after(5).pod_ends("train", 137, reason="OOMKilled"))

    assert resources(story)["limits"]["memory"] == "64Gi"
    assert story.job("train")["spec"]["backoffLimit"] == 2, "one of three retries is used"
    assert story.status.warnings == []
    assert "JobDeleted" not in story.events


@pytest.mark.parametrize("code", [0, 65, 78])
def test_a_job_that_is_about_to_end_is_not_made_anew(code: int) -> None:
    story = given_training().after(30).user_sets({"compute.memory": "64Gi"}).decides()
    before = dict(story.jobs)

    story.after(5).pod_ends("train", code, TRAINED if code == 0 else failed_report("no")).decides()

    assert story.jobs == before


def test_an_edit_gives_no_further_retry() -> None:
    story = given_training({"retries": 0}).after(30).user_sets({"compute.memory": "64Gi"}).decides()
    before = dict(story.jobs)

    story.after(5).pod_ends("train", 137, reason="OOMKilled").decides()

    assert story.jobs == before


def test_an_edit_that_is_taken_back_leaves_all_as_it_is() -> None:
    story = given_training().after(30).user_sets({"compute.memory": "64Gi"}).decides()

    story.user_sets({"compute.memory": "16Gi"}).decides()

    assert story.status.warnings == []


def test_what_is_edited_during_a_pause_is_heeded_after_it() -> None:
    story = given_training().user_sets({"suspend": True}).decides().after(5)
    story.pod_ends("train", 75).pod_is_gone("train").decides()

    is_made_anew(story.after(60).user_sets({"suspend": False, "compute.memory": "64Gi"}))

    assert resources(story)["limits"]["memory"] == "64Gi"


def test_a_run_that_waits_in_a_queue_goes_over_to_another() -> None:
    story = given_train_job({"scheduling.queueName": "full"}).workload(workload_condition("QuotaReserved", "False"))

    is_made_anew(story.decides().after(60).user_sets({"scheduling.queueName": "empty"}))

    assert story.job("train")["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "empty"


def test_a_secret_whose_name_is_corrected_is_used_at_once() -> None:
    story = given_finetune({"storage.secretName": "s4"}).decides()
    story.pod_waits("prepare", "CreateContainerConfigError", 'secret "s4" not found').decides().after(5)

    is_made_anew(story.user_sets({"storage.secretName": "s3"}))

    assert "s3" in str(story.job("prepare")["spec"]["template"])


@pytest.mark.parametrize("edit", [{"ttlSecondsAfterFinished": 60}, {"checkToken": "1"}, {"lora.r": 16}])
def test_edits_that_no_job_depends_on_change_none(edit: dict[str, Any]) -> None:
    story = given_train_job().after(60).decides()
    before = dict(story.jobs)

    story.user_sets(edit).decides()

    assert story.jobs == before


def test_the_prepare_job_does_not_depend_on_what_training_asks_for() -> None:
    story = given_finetune().decides().after(5).user_sets({"compute.memory": "64Gi"})
    before = dict(story.jobs)

    story.decides()

    assert story.jobs == before
    assert story.status.warnings == []


def test_jobs_of_an_earlier_release_stay() -> None:
    story = given_train_job()
    del story.job("train")["metadata"]["annotations"]["lora-operator.dev/request-hash"]
    before = dict(story.jobs)

    story.after(60).user_sets({"compute.memory": "64Gi"}).decides()

    assert story.jobs == before


def test_a_kill_between_status_and_deletion_leads_to_the_same_end() -> None:
    story = given_train_job().after(60).user_sets({"compute.memory": "64Gi"})
    before = dict(story.jobs)
    story.decides()
    story.jobs = before

    story.after(5).decides().decides()

    assert resources(story)["limits"]["memory"] == "64Gi"
    assert "JobDeleted" not in story.events
