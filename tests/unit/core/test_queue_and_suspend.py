"""Waiting in Kueue's queue, pausing and going on."""

from __future__ import annotations

from typing import Any

import pytest

from lora_operator.core.run.decision import SetWorkloadActive, SuspendJob
from support.cluster_story import workload_condition
from support.pod_reports import PREPARED, TRAINED
from support.queue_stories import QUEUE, queued, training_in_a_queue
from support.run_story import Story, given_finetune, given_training


def test_a_queued_run_waits_and_then_trains() -> None:
    story = queued()
    assert story.status.phase == "Queued"
    assert story.condition("Reconciling") == ("True", "Queued")
    assert story.job("train")["spec"]["suspend"] is True

    story.workload().kueue_admits().after(1).pod_runs("train").decides()

    assert story.status.phase == "Running"
    assert story.events.count("Queued") == 1


@pytest.mark.parametrize(
    ("reason", "message", "said"),
    [
        ("WaitingForQuota", "insufficient unused quota for nvidia.com/gpu", "insufficient unused quota"),
        ("ExceedsMaxQuota", "8 more needed", "Waiting does not help"),
        ("Pending", "requests (2) > maximum capacity (1)", "Waiting does not help"),
        ("Inadmissible", "LocalQueue team-a doesn't exist", "Correct scheduling.queueName"),
        ("Inadmissible", "ClusterQueue cq is inactive", "once it works"),
        ("Suspended", "LocalQueue team-a is stopped", "goes on when it is started again"),
    ],
)
def test_a_waiting_run_quotes_kueue(reason: str, message: str, said: str) -> None:
    story = queued().workload(workload_condition("QuotaReserved", "False", reason, message))

    story.after(4).decides()

    assert story.condition("Reconciling") == ("True", "Queued")
    assert said in story.message
    assert reason in story.message


def test_without_kueue_a_queued_run_says_so() -> None:
    story = given_finetune(QUEUE).decides().stage_succeeds("prepare", PREPARED).decides().after(1).decides()

    assert story.status.phase == "Queued"
    assert "Kueue is not installed" in story.message


def test_a_queue_that_takes_no_job_is_told_after_ten_seconds() -> None:
    story = queued({"scheduling.priorityClass": "urgent"}).after(9).decides()
    assert "LocalQueue" not in story.message

    story.after(2).decides()

    assert "LocalQueue team-a" in story.message
    assert "WorkloadPriorityClass urgent" in story.message


def quota_reserved(story: Story) -> dict[str, Any]:
    return workload_condition("QuotaReserved", "True", "QuotaReserved", "") | {"lastTransitionTime": story.time}


def test_nothing_is_told_between_quota_and_start() -> None:
    story = queued().workload().after(5).decides()
    before = story.message
    story.workload(quota_reserved(story)).after(1).decides()
    assert story.message == before
    assert story.decisions[-1].requeue_after is not None


def test_reserved_quota_has_no_place() -> None:
    story = queued().after(1)
    story.workload(quota_reserved(story)).queue_position = 1
    story.after(5).decides()
    assert story.message == "Quota in queue team-a is reserved; waiting for its admission checks."


def test_kueues_time_limit_fails_the_run() -> None:
    story = training_in_a_queue().after(100)
    story.job("train")["spec"]["suspend"] = True
    evicted = workload_condition("Evicted", "True", "DeactivatedDueToMaximumExecutionTimeExceeded", "too long")

    story.workload(evicted, active=False).pod_ends("train", 75).decides()

    assert story.condition("Failed") == ("True", "DeadlineExceeded")


def test_a_workload_that_an_administrator_holds_stays_off() -> None:
    story = queued().workload(active=False).after(5).decides()

    assert story.decisions[-1].actions == ()
    assert "deactivated" in story.message


def test_suspending_a_plain_run_stops_its_pod_and_resuming_goes_on() -> None:
    story = given_training().after(10)
    name = story.job("train")["metadata"]["name"]

    story.user_sets({"suspend": True}).decides()
    assert story.decisions[-1].follow_up == (SuspendJob(name, suspend=True),)
    assert story.status.phase == "Running"
    assert story.condition("Suspended") == ("False", "NotSuspended")
    assert story.condition("Reconciling") == ("True", "Suspending")

    story.after(5).pod_ends("train", 75).decides()
    assert [a.reason for a in story.status.attempts] == ["Suspended"]
    assert story.status.phase == "Suspended"
    assert story.condition("Suspended") == ("True", "Suspended")
    assert story.condition("Reconciling")[0] == "False"

    story.after(60).user_sets({"suspend": False}).decides()
    assert story.decisions[-1].actions == (SuspendJob(name, suspend=False),)
    assert story.condition("Suspended") == ("False", "NotSuspended")

    story.after(1).pod_runs("train", "second").decides()
    assert story.status.phase == "Running"


def test_a_queued_run_is_paused_through_its_workload_never_its_job() -> None:
    story = training_in_a_queue().user_sets({"suspend": True}).decides()
    assert story.decisions[-1].follow_up == (SetWorkloadActive("job-triage", active=False),)

    story.after(60).pod_ends("train", 75).user_sets({"suspend": False}).decides()

    assert story.decisions[-1].actions == (SetWorkloadActive("job-triage", active=True),)
    assert all(not isinstance(action, SuspendJob) for d in story.decisions for action in d.actions)


def test_a_run_created_suspended_starts_nothing_until_it_may() -> None:
    story = given_finetune({"suspend": True}).decides()
    assert story.jobs == {}
    assert story.status.phase == "Suspended"

    story.user_sets({"suspend": False}).decides()

    assert story.stages == ["prepare"]


def test_suspending_between_the_stages_keeps_what_was_prepared() -> None:
    story = given_finetune().decides().user_sets({"suspend": True}).stage_succeeds("prepare", PREPARED).decides()
    assert story.stages == ["prepare"]
    assert story.condition("Prepared")[0] == "True"

    story.user_sets({"suspend": False}).decides()

    assert story.stages == ["prepare", "train"]


def test_an_end_that_was_reached_stands_though_suspend_comes_late() -> None:
    story = given_training().stage_succeeds("train", TRAINED).user_sets({"suspend": True}).decides()

    assert story.condition("Complete")[0] == "True"


def test_a_job_that_kueue_took_in_without_a_queue_name_is_left_to_kueue() -> None:
    story = given_training()
    story.job("train")["spec"]["suspend"] = True

    story.workload(workload_condition("QuotaReserved", "False", "WaitingForQuota", "later")).after(5).decides()

    assert story.decisions[-1].actions == ()
    assert story.status.phase == "Queued"


def test_two_identical_runs_train_once_the_second_adopts_in_its_train_pod() -> None:
    adopted = TRAINED.model_copy(update={"adopted": True})

    story = given_training().stage_succeeds("train", adopted).decides()

    assert story.condition("Complete") == ("True", "AdoptedExistingArtifact")


def waiting_for_quota() -> Story:
    story = queued()
    return story.workload(workload_condition("QuotaReserved", "False", "Pending", "1 more needed")).after(4)


def test_a_waiting_run_shows_its_queue_its_place_and_since_when() -> None:
    story = waiting_for_quota()
    since = story.status.usage
    story.queue_position = 3
    story.decides()

    queue = story.status.queue
    assert since is not None
    assert queue is not None
    assert (queue.local_queue, queue.position, queue.reason) == ("team-a", 3, "Pending")
    assert queue.since == "2026-01-02T03:04:06Z"
    assert "place 3" in story.message

    story.queue_position = 1
    story.decides()
    assert "team-a, next" in story.message


def test_far_places_are_rounded_so_that_their_changes_are_seldom_written() -> None:
    story = waiting_for_quota()
    shown = set()
    for place in range(500, 0, -1):
        story.queue_position = place
        story.decides()
        shown.add(story.status.queue.position if story.status.queue else None)

    assert sorted(place for place in shown if place) == [*range(1, 10), *range(10, 501, 10)]


def test_the_place_in_the_queue_goes_away_once_the_run_trains() -> None:
    story = waiting_for_quota().decides()
    assert story.status.queue is not None

    story.kueue_admits().after(1).pod_runs("train").decides()

    assert story.status.queue is None
