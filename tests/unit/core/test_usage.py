"""status.usage: every second of a run is in exactly one account."""

from __future__ import annotations

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.progress import METRIC_FROM_STEP
from lora_contract.report import Timing
from lora_contract.status import LoRAFineTuneStatus, UsageStatus
from lora_contract.times import parse_time
from support.cluster_story import workload_condition
from support.pod_reports import PREPARED, TRAINED, failed_report
from support.run_story import Story, given_finetune, given_training
from support.story import settings

QUEUE = {"scheduling.queueName": "team-a"}


def usage_of(story: Story) -> UsageStatus:
    assert story.status.usage is not None
    return story.status.usage


def wall_seconds(status: LoRAFineTuneStatus) -> float:
    start, end = parse_time(status.start_time), parse_time(status.completion_time)
    assert start is not None
    assert end is not None
    return (end - start).total_seconds()


def accounts(story: Story) -> tuple[int, int, int, int]:
    usage = usage_of(story)
    return usage.staging_seconds, usage.queue_seconds, usage.suspended_seconds, usage.train_seconds


def assert_adds_up(story: Story) -> None:
    assert story.status.finished
    assert sum(accounts(story)) == pytest.approx(wall_seconds(story.status), rel=0.02)


def queued() -> Story:
    story = given_finetune(QUEUE).decides().after(20).stage_succeeds("prepare", PREPARED).decides()
    return story.after(1).workload().decides()


def test_a_plain_run_adds_up() -> None:
    story = given_finetune().decides().after(30).stage_succeeds("prepare", PREPARED).decides()
    story.after(12).pod_runs("train").decides().after(100).pod_ends("train", 0, TRAINED).decides()
    story.after(1).job_ends("train").decides()

    assert accounts(story) == (30, 13, 0, 100)
    assert usage_of(story).gpu_idle_seconds == 30
    assert_adds_up(story)


def test_every_wait_of_a_preempted_run_is_queue_time() -> None:
    story = queued().after(50).kueue_admits().after(5).pod_runs("train").decides()
    for number in (1, 2, 3):
        story.after(40)
        story.job("train")["spec"]["suspend"] = True
        evicted = workload_condition("Evicted", "True", "Preempted", "Preempted for a higher priority")
        story.workload(evicted).decides().after(3)
        story.pod_ends("train", 75, name=None if number == 1 else f"pod-{number}").decides()
        story.after(60).decides().kueue_admits().after(2).pod_runs("train", f"pod-{number + 1}").decides()
    story.after(40).pod_ends("train", 0, TRAINED, "pod-4").job_ends("train").decides()

    assert accounts(story) == (20, 1 + 50 + 5 + 3 * 62, 0, 3 * 43 + 40)
    assert_adds_up(story)


def test_a_pause_is_neither_queue_nor_gpu_time() -> None:
    story = given_training().after(10).user_sets({"suspend": True}).decides()
    story.after(4).pod_ends("train", 75).decides().after(3600).decides()
    story.user_sets({"suspend": False}).decides().after(6).pod_runs("train", "second").decides()
    story.after(50).pod_ends("train", 0, TRAINED, "second").job_ends("train").decides()

    assert accounts(story) == (2, 2 + 6, 3600, 14 + 50)
    assert_adds_up(story)


def test_a_run_created_suspended_waits_outside_its_staging_time() -> None:
    story = given_finetune({"suspend": True}).decides().after(500).decides()

    story.user_sets({"suspend": False}).decides().after(20).stage_succeeds("prepare", PREPARED).decides()

    assert accounts(story) == (20, 0, 500, 0)


def test_a_pause_during_prepare_keeps_what_went_before_as_staging() -> None:
    story = given_finetune().decides().after(7).user_sets({"suspend": True}).decides().after(100).decides()

    story.user_sets({"suspend": False}).decides().after(20).stage_succeeds("prepare", PREPARED).decides()

    assert accounts(story) == (27, 0, 100, 0)


def test_several_gpus_count_their_seconds_each_and_the_wall_time_once() -> None:
    story = given_training({"compute.gpus": 4}).after(100).stage_succeeds("train", TRAINED).decides()

    assert usage_of(story).train_seconds == 100
    assert usage_of(story).gpu_seconds == 400
    assert usage_of(story).gpu_idle_seconds == 120
    assert_adds_up(story)


def test_a_run_that_fails_in_prepare_was_all_staging() -> None:
    story = given_finetune().decides().after(9).pod_ends("prepare", 65, failed_report("bad", stage="prepare"))

    story.job_ends("prepare", "Failed", "PodFailurePolicy").decides()

    assert accounts(story) == (9, 0, 0, 0)
    assert_adds_up(story)


def test_time_is_booked_though_the_operator_was_away() -> None:
    story = given_finetune().decides().after(30).stage_succeeds("prepare", PREPARED).decides()
    story.after(10).pod_runs("train").after(100).pod_ends("train", 0, TRAINED).job_ends("train")

    story.after(900).decides()

    assert accounts(story) == (30, 10, 0, 100)
    assert_adds_up(story)


def test_steps_done_again_are_counted_for_every_pod_that_did_them() -> None:
    story = given_training().after(10).reports_progress(9, **{METRIC_FROM_STEP: 0}).decides()
    story.after(6).pod_ends("train", ExitCode.UNAVAILABLE, failed_report("away")).decides()
    story.after(5).pod_runs("train", "second").decides().after(10)
    story.reports_progress(12, pod="second", **{METRIC_FROM_STEP: 6}).decides()
    story.after(6).pod_ends("train", ExitCode.UNAVAILABLE, failed_report("away"), "second").decides()
    assert usage_of(story).lost_steps == 3

    resumed = TRAINED.model_copy(update={"timing": Timing(from_step=10, last_step=24, lost_steps=2)})
    story.after(5).pod_runs("train", "third").decides()
    story.after(20).pod_ends("train", 0, resumed, "third").job_ends("train").decides()

    assert usage_of(story).lost_steps == 5
    assert_adds_up(story)


def test_gpu_seconds_cost_what_the_platform_says() -> None:
    story = given_training({"compute.gpus": 2}, gpu_price_per_hour="2.50", gpu_price_currency="EUR")
    story.after(1800).pod_ends("train", 0, TRAINED).job_ends("train").decides()

    assert (usage_of(story).cost, usage_of(story).currency) == ("2.5000", "EUR")


def test_every_pod_counts_at_the_price_of_its_day() -> None:
    story = given_training(gpu_price_per_hour="2.00", gpu_price_currency="EUR").after(3600)
    story.pod_ends("train", ExitCode.INTERNAL, failed_report("boom")).decides()
    story.settings = settings(gpu_price_per_hour="3.00", gpu_price_currency="EUR")

    story.pod_runs("train", "second").decides().after(3600).pod_ends("train", 0, TRAINED, "second")
    story.job_ends("train").decides()

    assert usage_of(story).cost == "5.0000"


def test_without_a_price_or_a_gpu_no_cost_is_told() -> None:
    free = given_training().after(3600).pod_ends("train", 0, TRAINED).job_ends("train").decides()
    on_cpu = given_training({"compute.gpus": 0}, gpu_price_per_hour="2.00", gpu_price_currency="EUR")
    on_cpu.after(3600).pod_ends("train", 0, TRAINED).job_ends("train").decides()

    assert usage_of(free).cost is None
    assert usage_of(on_cpu).cost is None
