"""Of identical runs one trains; the others wait without a GPU, and look for its adapter when it ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from lora_contract.conditions import ConditionType
from lora_operator.core.observe.observed import IdenticalRun
from lora_operator.core.run.decision import DeleteJob
from support.identical import SAME, WAITS, another, prepared
from support.pod_reports import ARTIFACT, PREPARED, RUN_ID
from support.run_story import Story
from support.story import START


def waiting() -> Story:
    story = prepared(another())
    assert story.condition("Reconciling") == WAITS
    return story.after(100)


def test_the_second_waits_without_a_job_and_names_the_first() -> None:
    story = prepared(another())

    assert story.condition("Reconciling") == WAITS
    assert story.status.phase == "Queued"
    assert story.stages == ["prepare"]
    assert "Run first trains the same adapter" in story.message
    assert story.decisions[-1].requeue_after == 60


def test_one_that_waits_in_the_same_queue_is_not_said_to_train() -> None:
    assert "Run first is to train the same adapter" in prepared(another(running=False)).message


def test_waiting_writes_nothing_again() -> None:
    story = waiting()
    writes = story.writes

    assert story.decides().after(10).decides().writes == writes


def test_it_says_until_when_it_waits() -> None:
    assert "until 2026-01-03T03:04:07Z at the latest" in prepared(another()).message


@pytest.mark.parametrize(
    "other",
    [
        another(identity=SAME._replace(run_id="b" * 32)),
        another(identity=SAME._replace(output="s3://adapters/team-b/")),
        another(identity=SAME._replace(endpoint="https://s3.example.org")),
        another(identity=SAME._replace(namespace="team-b")),
        another(queue="stopped", running=False),
        another(started=False, refused=True),
        another(started=False, created=START + timedelta(minutes=1)),
    ],
    ids=[
        "another identity",
        "another output",
        "another server",
        "another namespace, whatever it says of itself",
        "another queue",
        "refused",
        "younger",
    ],
)
def test_it_waits_for_no_other(other: IdenticalRun) -> None:
    assert prepared(other).stages == ["prepare", "train"]


@pytest.mark.parametrize(
    ("created", "uid", "waits"),
    [
        (START - timedelta(seconds=1), "f", True),
        (START, "0", True),
        (START, "f", False),
        (START + timedelta(seconds=1), "0", False),
    ],
)
def test_of_two_that_have_not_started_the_older_goes_first(created: Any, uid: str, waits: bool) -> None:
    story = prepared(another(started=False, running=False, created=created, uid=uid))

    assert ("train" not in story.stages) is waits


def test_one_that_started_goes_first_though_it_is_younger() -> None:
    story = prepared(another(created=START + timedelta(minutes=1)))

    assert story.condition("Reconciling") == WAITS


def test_the_adapter_of_the_first_is_adopted_without_a_train_job() -> None:
    story = waiting()
    story.identical = ()
    story.decides().decides().decides()
    assert story.condition("Reconciling") == ("True", "Preparing")
    assert "JobDeleted" not in story.events

    found = PREPARED.model_copy(update={"adopted": True, "artifact": ARTIFACT})
    story.after(5).pod_ends("prepare", 0, found, "again").job_ends("prepare").decides()

    assert story.condition("Complete") == ("True", "AdoptedExistingArtifact")
    assert story.stages == ["prepare"]
    usage = story.status.usage
    assert usage is not None
    assert (usage.staging_seconds, usage.queue_seconds) == (2 + 5, 100)


def test_where_the_first_failed_the_second_trains() -> None:
    story = waiting()
    story.identical = ()
    story.decides().decides().decides()

    story.after(5).pod_ends("prepare", 0, PREPARED, "again").job_ends("prepare").decides()

    assert story.stages == ["prepare", "train"]
    assert story.status.run_id == RUN_ID


def test_the_status_says_why_before_a_job_is_deleted() -> None:
    story = waiting()
    prepare = story.job("prepare")["metadata"]["name"]
    story.identical = ()

    decision = story.decides().decisions[-1]

    assert decision.actions == ()
    assert decision.follow_up == (DeleteJob(prepare),)
    ready = decision.status.condition(ConditionType.READY)
    assert ready is not None
    assert ready.reason == "IdenticalRunEnded"


def test_a_crash_between_the_two_takes_no_old_report_for_the_answer() -> None:
    story = waiting()
    story.identical = ()
    before = dict(story.jobs)
    story.decides()
    story.jobs = before  # the operator was killed before it deleted any

    story.after(5).decides()

    assert story.stages == []
    story.decides().decides()
    assert story.condition("Reconciling") == ("True", "Preparing")
    assert story.stages == ["prepare"]


def test_a_crash_behind_the_new_job_makes_no_other_one() -> None:
    story = waiting()
    story.identical = ()
    story.decides().decides().decides(crash_before_status=True)
    new = story.job("prepare")["metadata"]["uid"]

    story.after(5).decides().decides()

    assert story.job("prepare")["metadata"]["uid"] == new
    assert story.condition("Reconciling") == ("True", "Preparing")


def test_what_the_first_prepare_said_is_not_taken_for_the_word_of_the_second() -> None:
    story = waiting()
    story.identical = ()
    story.decides().decides().decides()

    story.after(5).job_ends("prepare").decides()

    assert story.stages == ["prepare"], "the new pod's word has not been seen yet"


def test_it_does_not_wait_for_ever_but_lets_s3_decide() -> None:
    story = waiting()

    story.after(24 * 3600 - 101).decides()
    assert story.condition("Reconciling") == WAITS
    assert story.decisions[-1].requeue_after == 1
    story.after(1).decides().decides().decides()
    assert story.condition("Reconciling") == ("True", "Preparing")

    story.after(5).pod_ends("prepare", 0, PREPARED, "again").job_ends("prepare").decides()
    assert story.stages == ["prepare", "train"], "S3 knows of nobody who trains"


def test_waits_for_one_after_another_have_one_limit() -> None:
    story = waiting().after(20 * 3600)
    story.identical = ()
    story.decides().decides().decides()
    story.identical = (another(name="next", uid="1"),)
    story.after(5).pod_ends("prepare", 0, PREPARED, "again").job_ends("prepare").decides()
    assert story.condition("Reconciling") == WAITS

    story.after(4 * 3600).decides().decides().decides()

    assert story.condition("Reconciling") == ("True", "Preparing")


def test_a_run_that_waits_can_be_suspended() -> None:
    story = waiting().user_sets({"suspend": True}).decides()

    assert story.condition("Suspended") == ("True", "Suspended")
