"""spec.limits: a run that used what it may is stopped after a checkpoint, and goes on once the limit is raised."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from lora_contract.changes import with_estimate
from lora_contract.estimate import EstimateStatus
from lora_operator.core.run.decision import SetWorkloadActive, SuspendJob
from support.pod_reports import PREPARED, TRAINED
from support.run_story import Story, given_finetune

HOUR = 3600
PRICED = {"gpu_price_per_hour": Decimal("2.50"), "gpu_price_currency": "EUR"}


def training(changes: dict[str, Any], **platform: Any) -> Story:
    story = given_finetune(changes, **platform).decides().after(2).stage_succeeds("prepare", PREPARED).decides()
    return story.after(2).pod_runs("train").decides()


def stopped_at_two_hours() -> Story:
    story = training({"limits.gpuHours": 2}).after(2 * HOUR).decides().pod_is_stopped("train")
    return story.decides().after(10).pod_ends("train", 75).decides()


def is_paused(story: Story) -> bool:
    return bool(story.job("train")["spec"].get("suspend"))


def test_a_run_within_its_limit_is_looked_at_when_it_would_be_reached() -> None:
    story = training({"limits.gpuHours": 2}).after(HOUR).decides()

    assert story.status.phase == "Running"
    requeue = story.decisions[-1].requeue_after
    assert requeue is not None
    assert requeue <= HOUR


def test_a_reached_limit_stops_the_pod_and_says_what_to_do() -> None:
    story = training({"limits.gpuHours": 2}).after(2 * HOUR).decides()

    assert is_paused(story)
    for kind in ("Failed", "Stalled", "Finished"):
        assert story.condition(kind) == ("True", "LimitReached")
    assert story.status.error is not None
    assert story.status.error.param == "spec.limits.gpuHours"
    assert "checkpoint" in (story.status.error.hint or "")
    assert "2 GPU hours" in story.message
    # While the pod saves, the end of the pod is waited for.
    assert story.after(5).decides().decisions[-1].requeue_after != 0


def test_a_stopped_run_rests_without_another_write() -> None:
    story = stopped_at_two_hours()
    story.after(60).decides()
    writes = story.writes

    story.after(600).decides().after(600).decides()

    assert story.writes == writes
    assert story.status.usage is not None
    assert story.status.usage.gpu_seconds == 2 * HOUR + 10


def test_a_raised_limit_lets_the_run_go_on_and_counts_what_was_used_before() -> None:
    story = stopped_at_two_hours().after(500).user_sets({"limits.gpuHours": 3}).decides()
    assert not is_paused(story)
    story.after(5).pod_runs("train", "second").decides()
    assert story.status.phase == "Running"
    assert [(a.exit_code, a.end_time is None) for a in story.status.attempts if a.stage == "train"] == [
        (75, False),
        (None, True),
    ]

    story.after(HOUR - 11).decides()
    assert not is_paused(story)
    story.after(2).decides()

    assert is_paused(story)
    assert story.condition("Failed") == ("True", "LimitReached")


def test_the_time_of_the_stop_is_neither_queue_nor_gpu_time() -> None:
    story = stopped_at_two_hours().after(500).user_sets({"limits.gpuHours": 3}).decides()
    story.after(5).pod_runs("train", "second").after(50)
    story.pod_ends("train", 0, TRAINED, "second").job_ends("train").decides()

    usage = story.status.usage
    assert story.status.phase == "Complete"
    assert usage is not None
    assert (usage.suspended_seconds, usage.train_seconds) == (500, 2 * HOUR + 10 + 50)


def test_an_adapter_that_was_published_meanwhile_counts() -> None:
    story = training({"limits.gpuHours": 2}).after(2 * HOUR + 5).pod_ends("train", 0, TRAINED).decides()
    assert not is_paused(story)
    story.after(1).job_ends("train").decides()

    assert story.status.phase == "Complete"


def test_all_gpus_of_all_nodes_count() -> None:
    changes = {"compute.gpus": 4, "training.effectiveBatchSize": 4, "limits.gpuHours": 2}
    story = training(changes).after(HOUR / 2 - 1).decides()
    assert not is_paused(story)

    assert is_paused(story.after(1).decides())


def test_a_cost_is_held_at_the_price_of_the_platform() -> None:
    story = training({"limits.cost": 5}, **PRICED).after(2 * HOUR - 1).decides()
    assert not is_paused(story)

    story.after(1).decides()

    assert is_paused(story)
    assert story.message.startswith("spec.limits.cost: the run has used its 5 EUR.")


def test_a_cost_without_a_price_starts_nothing() -> None:
    story = given_finetune({"limits.cost": 5}).decides()

    assert story.condition("Failed") == ("True", "LimitReached")
    assert "names no price" in story.message
    assert story.jobs == {}


def test_a_run_in_a_queue_gives_its_quota_back() -> None:
    story = given_finetune({"scheduling.queueName": "team-a", "limits.gpuHours": 2}).decides().after(1)
    story.kueue_installed = True
    story.stage_succeeds("prepare", PREPARED).decides().workload().kueue_admits().after(1)
    story.pod_runs("train").decides().after(2 * HOUR).decides()

    assert any(isinstance(action, SetWorkloadActive) and not action.active for action in story.decisions[-1].follow_up)
    assert story.condition("Failed") == ("True", "LimitReached")


def prepared_with_estimate(limits: dict[str, Any], runs: int = 3, **platform: Any) -> Story:
    estimate = EstimateStatus(seconds=2 * HOUR, low=HOUR, high=3 * HOUR, gpu_hours="2", basis="EarlierRuns", runs=runs)
    assert PREPARED.plan is not None
    report = PREPARED.model_copy(update={"plan": with_estimate(PREPARED.plan, estimate)})
    story = given_finetune({"limits": limits}, **platform).decides().after(2)
    return story.stage_succeeds("prepare", report).decides()


@pytest.mark.parametrize("limits", [{"gpuHours": 0.99}, {"cost": 2.4}])
def test_a_run_of_which_even_the_low_estimate_is_above_its_limit_asks_for_no_gpu(limits: dict[str, float]) -> None:
    story = prepared_with_estimate(limits, **PRICED)

    assert story.stages == ["prepare"]
    assert story.condition("Failed") == ("True", "LimitReached")
    assert "by 3 earlier runs the run needs 1 to 3 GPU hours" in story.message
    writes = story.writes
    assert story.after(600).decides().after(600).decides().writes == writes

    story.user_sets({"limits": {"gpuHours": 1.5}}).decides()
    assert story.stages == ["prepare", "train"]


def test_an_estimate_from_two_runs_refuses_nothing_as_one_of_them_may_have_been_slow() -> None:
    assert prepared_with_estimate({"gpuHours": 0.5}, runs=2).stages == ["prepare", "train"]


def test_an_estimate_around_the_limit_refuses_nothing() -> None:
    assert prepared_with_estimate({"gpuHours": 1}).stages == ["prepare", "train"]


def test_an_estimate_has_the_price_of_the_platform() -> None:
    plan = prepared_with_estimate({}, **PRICED).status.plan

    assert plan is not None
    assert plan.estimate is not None
    assert (plan.estimate.cost, plan.estimate.currency) == ("5.0000", "EUR")


@pytest.mark.parametrize("limits", [{}, {"gpuHours": 2}])
def test_a_suspended_run_is_told_as_suspended(limits: dict[str, Any]) -> None:
    story = training({"limits": limits}).after(10).user_sets({"suspend": True}).decides().pod_is_stopped("train")
    story.after(3 * HOUR).pod_ends("train", 75).decides()

    assert story.condition("Suspended") == ("True", "Suspended")
    assert not any(isinstance(action, SuspendJob) and not action.suspend for action in story.decisions[-1].actions)
