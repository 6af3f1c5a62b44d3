"""Kueue takes the quota of a run back: who is told to have ended its pod, and what it waits for then."""

from __future__ import annotations

from typing import Any

import pytest

from support.cluster_story import workload_condition
from support.pod_reports import TRAINED
from support.queue_stories import training_in_a_queue
from support.run_story import Story


def test_preemption_is_told_and_the_run_goes_on() -> None:
    story = training_in_a_queue().after(10)
    words = "Preempted to accommodate a workload of higher priority"
    evicted = workload_condition("Evicted", "True", "Preempted", words)
    story.job("train")["spec"]["suspend"] = True
    story.workload(evicted, workload_condition("QuotaReserved", "False", "Pending", words))
    story.pod_ends("train", 75).decides()

    assert story.status.phase == "Queued"
    assert story.condition("Reconciling") == ("True", "Preempted")
    assert [a.reason for a in story.status.attempts] == ["Preempted"]

    story.after(30).kueue_admits().after(1).pod_runs("train", "second").decides()
    story.after(10).pod_ends("train", 0, TRAINED, "second").job_ends("train").decides()

    assert story.condition("Complete")[0] == "True"
    assert [a.reason for a in story.status.attempts] == ["Preempted", "Succeeded"]


def test_a_pod_that_ends_when_quota_is_given_again_was_preempted_all_the_same() -> None:
    # A run that saves its checkpoint because Kueue took its quota
    story = training_in_a_queue().after(10)
    words = "Preempted to accommodate a workload of higher priority"
    story.job("train")["spec"]["suspend"] = True
    story.workload(workload_condition("Evicted", "True", "Preempted", words)).pod_is_stopped("train").decides()
    assert story.condition("Reconciling") == ("True", "Preempted")
    # Kueue gives quota again before the pod ended
    story.after(3).workload(workload_condition("QuotaReserved", "True", "QuotaReserved", "")).pod_ends("train", 75)
    story.decides()
    # The attempt says who ended it
    assert [(a.reason, a.message) for a in story.status.attempts] == [("Preempted", f"{words}.")]


def stopped_by_kueue(*conditions: dict[str, Any]) -> Story:
    """A run whose Job Kueue suspended while its pod trains."""
    story = training_in_a_queue().after(10)
    story.job("train")["spec"]["suspend"] = True
    return story.workload(*conditions)


@pytest.mark.parametrize("deleting", [True, False])
def test_nothing_is_told_until_kueue_says_why_it_stopped_the_job(deleting: bool) -> None:
    # A Job that is suspended while its Workload still has its quota, its pod marked for deletion or not yet
    story = stopped_by_kueue(workload_condition("QuotaReserved", "True", "QuotaReserved", ""))
    if deleting:
        story.pod_is_stopped("train")
    before = story.message
    # It is looked at
    story.decides()
    # What was told stays, and it is looked at again soon
    assert story.message == before
    assert story.decisions[-1].events == ()
    assert story.decisions[-1].requeue_after is not None


def test_kueues_words_are_a_sentence_before_ours() -> None:
    story = stopped_by_kueue(workload_condition("Evicted", "True", "Preempted", "Preempted for another"))
    story.pod_is_stopped("train").decides()
    assert story.message == "Saving a checkpoint. Preempted for another. Waiting in queue team-a again."


def test_a_pod_that_is_gone_before_kueue_says_why_was_stopped_by_it_all_the_same() -> None:
    """The watch of Workloads may be behind that of Jobs and pods."""
    story = stopped_by_kueue(workload_condition("QuotaReserved", "True", "QuotaReserved", ""))
    story.pod_is_gone("train").decides()

    assert [(a.reason, a.message) for a in story.status.attempts] == [("Preempted", "Kueue took the quota back.")]


def test_a_preempted_run_waits_since_its_pod_ended() -> None:
    story = training_in_a_queue().after(10)
    story.job("train")["spec"]["suspend"] = True
    story.workload(workload_condition("Evicted", "True", "Preempted", "for a higher priority"))
    story.pod_ends("train", 75).decides()
    ended = story.time

    story.after(30).decides()

    assert story.status.queue is not None
    assert story.status.queue.since == ended
