"""Identical runs that were paused, and as what each is seen by the others."""

from __future__ import annotations

from typing import Any

import pytest

from lora_contract.exit_codes import ExitCode
from lora_operator.core.observe.observed import IdenticalRun
from lora_operator.core.stages.identical import identical_run
from support.identical import DEFAULT_ENDPOINT, WAITS, another, prepared
from support.pod_reports import PREPARED, RUN_ID, TRAINED, failed_report
from support.run_story import Story, given_finetune, given_training


def seen(story: Story, **more: bool) -> IdenticalRun | None:
    """A run as the others see it."""
    known = story.observed()
    return identical_run(
        known.finetune,
        RUN_ID,
        known.jobs,
        known.workloads,
        default_endpoint=DEFAULT_ENDPOINT,
        **({"starting": False, "refused": False} | more),
    )


def paused(changes: dict[str, Any] | None = None) -> Story:
    """A run that trained and was suspended; its Job is there and held."""
    story = given_training(changes).user_sets({"suspend": True}).decides().after(5)
    story.pod_ends("train", ExitCode.CHECKPOINTED).pod_is_gone("train")
    return story.decides().after(60)


def test_a_run_that_comes_back_from_a_pause_waits_for_one_that_trains_now() -> None:
    story = paused()
    story.identical = (another(),)

    story.user_sets({"suspend": False}).decides()

    assert story.condition("Reconciling") == WAITS
    assert story.job("train")["spec"]["suspend"] is True
    story.identical = ()
    story.after(60).decides().decides().decides()
    assert story.stages == ["prepare"]
    assert story.condition("Reconciling") == ("True", "Preparing")


def test_a_run_that_comes_back_from_a_pause_goes_on_where_nobody_trains() -> None:
    story = paused().user_sets({"suspend": False}).decides()

    assert story.job("train")["spec"]["suspend"] is False
    assert story.stages == ["prepare", "train"]


def test_a_run_whose_workload_is_off_waits_as_well() -> None:
    queue = {"scheduling.queueName": "team-a"}
    story = given_finetune(queue).decides().after(2).stage_succeeds("prepare", PREPARED).decides()
    story.kueue_admits().pod_runs("train").decides().user_sets({"suspend": True}).decides()
    story.job("train")["spec"]["suspend"] = True
    story.after(5).pod_ends("train", ExitCode.CHECKPOINTED).pod_is_gone("train").decides()
    story.identical = (another(queue="team-a"),)

    story.after(60).user_sets({"suspend": False}).decides().decides()

    assert story.condition("Reconciling") == WAITS
    assert story.workloads["job-triage"]["spec"]["active"] is False


def test_two_that_come_back_from_a_pause_do_not_wait_for_each_other() -> None:
    story = paused()
    story.user_sets({"suspend": False})

    found = seen(story)

    assert found is not None
    assert not found.started


def test_a_run_is_seen_as_far_as_it_is() -> None:
    prepared_only = seen(prepared(another()))
    created = seen(prepared(another()), starting=True)
    queued = seen(prepared())
    training = seen(given_training())

    assert [(each.started, each.running) for each in (prepared_only, created, queued, training) if each] == [
        (False, False),
        (True, False),
        (True, False),
        (True, True),
    ]


def test_between_two_pods_a_run_still_trains() -> None:
    story = given_training().after(60).pod_ends("train", ExitCode.INTERNAL, failed_report("boom")).decides()

    found = seen(story.after(20).decides())

    assert story.status.phase == "Queued"
    assert found is not None
    assert found.running


@pytest.mark.parametrize("changes", [{"suspend": True}, {"lora.r": 0}], ids=["suspended", "refused"])
def test_a_run_that_is_not_under_way_is_not_waited_for(changes: dict[str, Any]) -> None:
    assert seen(given_training().user_sets(changes).decides()) is None


def test_a_finished_run_is_not_waited_for() -> None:
    assert seen(given_training().stage_succeeds("train", TRAINED).decides()) is None
