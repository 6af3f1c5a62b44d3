"""Suspended is said when the GPU is free, and who stopped a pod is known however soon the run is let go on."""

from __future__ import annotations

import pytest

from lora_operator.core.run.decision import SetWorkloadActive, SuspendJob
from support.cluster_story import workload_condition
from support.pod_reports import PREPARED, TRAINED
from support.run_story import UNREACHABLE, Story, given_finetune, given_training


def queued_training() -> Story:
    story = given_finetune({"scheduling.queueName": "team-a"}).decides().after(1)
    story.kueue_installed = True
    story.stage_succeeds("prepare", PREPARED).decides().workload().kueue_admits().after(1)
    return story.pod_runs("train").decides()


def kueue_stops_the_job(story: Story) -> Story:
    story.job("train")["spec"]["suspend"] = True
    evicted = workload_condition("Evicted", "True", "Deactivated", "The workload is deactivated")
    return story.workload(evicted, active=False).pod_is_stopped("train")


def reasons(story: Story) -> list[str | None]:
    return [attempt.reason for attempt in story.status.attempts]


def told(story: Story) -> list[tuple[str, str]]:
    return [(event.type, event.reason) for decision in story.decisions for event in decision.events]


def test_a_run_is_suspended_once_its_pod_has_ended() -> None:
    story = given_training().user_sets({"suspend": True}).decides().pod_is_stopped("train").decides()
    assert story.condition("Suspended")[0] == "False"
    assert story.condition("Reconciling") == ("True", "Suspending")
    assert "GPU" in story.message

    story.after(60).pod_ends("train", 75).decides()

    assert story.condition("Suspended") == ("True", "Suspended")
    assert story.decisions[-1].actions == story.decisions[-1].follow_up == ()


def test_a_run_that_is_let_go_on_while_its_pod_saves_waits_for_the_pod() -> None:
    # A run that is being suspended, and resumed before its pod ended
    story = given_training().after(10).user_sets({"suspend": True}).decides().pod_is_stopped("train")
    story.after(5).user_sets({"suspend": False}).decides()
    assert "goes on" in story.message
    assert story.job("train")["spec"]["suspend"] is True
    # The pod ends
    story.after(20).pod_ends("train", 75).pod_is_gone("train").decides()
    # Nobody speaks of a deleted pod, and the Job goes on
    assert reasons(story) == ["Suspended"]
    assert story.job("train")["spec"]["suspend"] is False
    assert ("Warning", "PodDeleted") not in told(story)
    story.after(3).pod_runs("train", "second").decides()
    assert story.status.phase == "Running"


def test_a_queued_run_that_is_let_go_on_while_its_pod_saves_waits_for_the_pod() -> None:
    story = queued_training().user_sets({"suspend": True}).decides()
    kueue_stops_the_job(story).after(5).user_sets({"suspend": False}).decides()
    assert story.workloads["job-triage"]["spec"]["active"] is False

    story.after(20).pod_ends("train", 75).pod_is_gone("train").decides()

    assert reasons(story) == ["Suspended"]
    assert SetWorkloadActive("job-triage", active=True) in story.decisions[-1].actions


@pytest.mark.parametrize("queued", [False, True])
def test_suspend_and_resume_between_two_looks_is_no_deleted_pod(queued: bool) -> None:
    # A run that was suspended, and an operator that was away while its pod ended and it was resumed
    story = (queued_training() if queued else given_training()).user_sets({"suspend": True}).decides()
    if queued:
        kueue_stops_the_job(story)
    story.pod_ends("train", 75).pod_is_gone("train").user_sets({"suspend": False}).after(60, told=False)

    story.decides()

    assert reasons(story) == ["Suspended"]
    assert ("Warning", "PodDeleted") not in told(story)


def test_an_operator_that_is_killed_after_it_suspended_the_job_knows_why_the_pod_ended() -> None:
    story = given_training()
    story.job("train")["spec"]["suspend"] = True

    story.pod_ends("train", 75).pod_is_gone("train").decides()

    assert reasons(story) == ["Suspended"]
    assert SuspendJob(story.job("train")["metadata"]["name"], suspend=False) in story.decisions[-1].actions


def test_the_workload_is_switched_off_after_the_status_says_so() -> None:
    story = queued_training().user_sets({"suspend": True})

    decision = story.asked()

    assert decision.actions == ()
    assert decision.follow_up == (SetWorkloadActive("job-triage", active=False),)


def test_a_pod_on_a_silent_node_does_not_keep_a_run_from_being_suspended() -> None:
    story = given_training().user_sets({"suspend": True}).decides().pod_is_stopped("train")
    (pod,) = (body for body in story.pods.values() if "train" in body["metadata"]["name"])
    pod["status"]["conditions"] = UNREACHABLE
    story.decides()
    assert story.condition("Reconciling") == ("True", "Suspending")
    assert story.decisions[-1].requeue_after is not None

    story.after(story.decisions[-1].requeue_after).decides()

    assert story.condition("Suspended") == ("True", "Suspended")


def test_the_seconds_of_a_pod_that_saves_are_train_seconds() -> None:
    story = given_training().after(10).user_sets({"suspend": True}).decides()
    story.after(20).pod_ends("train", 75).decides().after(100).user_sets({"suspend": False}).decides()
    story.after(5).pod_runs("train", "second").decides().after(30)
    story.pod_ends("train", 0, TRAINED, "second").job_ends("train").decides()

    usage = story.status.usage
    assert usage is not None
    assert (usage.train_seconds, usage.suspended_seconds) == (60, 100)
