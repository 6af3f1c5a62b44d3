"""Runs in queues of a real Kueue: why they wait, where, what they lose, and that they all finish."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from lora_cluster.commands import wait_until
from lora_contract import layout
from lora_contract.reasons import Reason
from lora_contract.status import LoRAFineTuneStatus
from lora_contract.times import parse_time
from lora_demo.run import Run, is_complete
from support import kueue
from support.kueue import HIGH, QUEUED
from support.tiny_cluster import (
    STEP_SECONDS,
    TRAINED_SECONDS,
    TinyCluster,
    at_step,
    has_reason,
    ready,
    train_attempts,
    wait_status,
)

GRACE_SECONDS = 120
LONG = QUEUED | {"training.maxSteps": 3000, "training.saveSteps": 1000}


@pytest.fixture
def busy(place: TinyCluster) -> Iterator[TinyCluster]:
    """The cluster with its one GPU of quota taken."""
    kueue.take_quota(place, "holder", priority=HIGH)
    wait_until("the quota is taken", lambda: kueue.quota_used(place) == 1, timeout=STEP_SECONDS)
    yield place
    kueue.give_back(place, "holder")


def test_kueue_that_is_installed_later_is_noticed_without_a_restart(place: TinyCluster, early: Run) -> None:
    status = early.wait_finished(TRAINED_SECONDS)

    assert is_complete(status), status.error
    assert_adds_up(status)


def test_a_run_says_why_it_waits(busy: TinyCluster) -> None:
    waiting = {
        "waits": (QUEUED, "Pending", "insufficient unused quota"),
        "never-fits": (QUEUED | {"compute.gpus": 2, "training.maxSteps": 1}, "Pending", "Waiting does not help"),
        "no-queue": (QUEUED | {"scheduling.queueName": "absent"}, "Inadmissible", "Correct scheduling.queueName"),
        "stopped": (QUEUED | {"scheduling.queueName": kueue.STOPPED_QUEUE}, "Inadmissible", "stopped or not set up"),
        "no-class": (QUEUED | {"scheduling.priorityClass": "absent"}, None, "WorkloadPriorityClass absent"),
    }
    runs = {name: busy.create(name, changes) for name, (changes, _, _) in waiting.items()}
    for name, run in runs.items():
        _, reason, words = waiting[name]
        status = wait_status(run, words, lambda status, words=words: words in ready(status)[1])  # type: ignore[misc]
        assert status.phase == "Queued"
        assert status.queue is not None
        assert status.queue.reason == reason
        assert status.queue.since is not None
    for run in runs.values():
        busy.delete(run)


def test_runs_show_their_places_in_the_queue(busy: TinyCluster) -> None:
    first = busy.create("first", QUEUED)
    wait_status(first, "next", lambda status: _place(status) == 1)
    second = busy.create("second", QUEUED)
    wait_status(second, "second place", lambda status: _place(status) == 2)

    urgent = busy.create("urgent", QUEUED | {"scheduling.priorityClass": HIGH})
    wait_status(urgent, "next", lambda status: _place(status) == 1)
    wait_status(first, "second place", lambda status: _place(status) == 2)

    for run in (urgent, first, second):
        busy.delete(run)


def test_a_queued_run_is_suspended_resumed_and_cancelled(busy: TinyCluster) -> None:
    run = busy.create("paused-in-queue", QUEUED)
    wait_status(run, "Queued", lambda status: status.phase == "Queued" and status.queue is not None)
    busy.set_suspend(run, True)
    wait_status(run, "Suspended", lambda status: status.phase == "Suspended")
    kueue.give_back(busy, "holder")
    wait_until("the quota is free", lambda: kueue.quota_used(busy) == 0, timeout=STEP_SECONDS)
    assert run.status().phase == "Suspended"

    kueue.take_quota(busy, "holder", priority=HIGH)
    wait_until("the quota is taken", lambda: kueue.quota_used(busy) == 1, timeout=STEP_SECONDS)
    busy.set_suspend(run, False)
    wait_status(run, "Queued", lambda status: status.phase == "Queued" and status.queue is not None)

    busy.delete(run)


def test_a_running_run_gives_its_gpu_back_when_suspended_and_when_cancelled(place: TinyCluster) -> None:
    run = place.create("paused", LONG)
    wait_status(run, "step 5", at_step(5), TRAINED_SECONDS)
    place.set_suspend(run, True)
    assert _seconds_until_free(place) <= GRACE_SECONDS + 10
    status = wait_status(run, "its pod to end", lambda status: train_attempts(status)[-1].end_time is not None)
    assert (status.phase, train_attempts(status)[-1].reason) == ("Suspended", Reason.SUSPENDED)
    assert train_attempts(status)[-1].exit_code == 75
    paused = parse_time(train_attempts(status)[-1].end_time)
    assert paused is not None
    wait_until("a pause that counts", lambda: (datetime.now(UTC) - paused).total_seconds() > 2, timeout=STEP_SECONDS)

    place.set_suspend(run, False)
    status = wait_status(run, "the second pod", lambda status: len(train_attempts(status)) == 2, TRAINED_SECONDS)
    before = (status.progress and status.progress.step) or 0
    status = wait_status(run, "more steps", at_step(before + 5), TRAINED_SECONDS)
    assert status.usage is not None
    assert status.usage.suspended_seconds > 0

    place.kubernetes.run("delete", "lorafinetunes", run.name, f"--namespace={place.namespace}", "--wait=false")
    assert _seconds_until_free(place) <= GRACE_SECONDS + 10
    place.delete(run)


def test_three_preemptions_lose_no_step_and_change_no_weight(place: TinyCluster) -> None:
    # A run of low priority
    changes = QUEUED | {"training.maxSteps": 1200, "training.saveSteps": 600, "retries": 0}
    run = place.create("preempted", changes)
    for number in range(3):
        # A run of higher priority comes in the middle of it
        before = len(train_attempts(run.status()))
        wait_status(
            run,
            "a pod that trains",
            lambda status, before=before: len(train_attempts(status)) > before and _steps_since_start(status),  # type: ignore[misc]
            TRAINED_SECONDS,
        )
        kueue.take_quota(place, f"urgent-{number}", priority=HIGH, seconds=3)
        # It saves its work, and waits again with Kueue's words
        status = wait_status(run, "Kueue's words", has_reason(Reason.PREEMPTED))
        assert "to accommodate a workload" in ready(status)[1]
    status = run.wait_finished(TRAINED_SECONDS)
    # It finishes, with no retry used and no step done twice
    assert is_complete(status), status.error
    attempts = train_attempts(status)
    assert [attempt.reason for attempt in attempts] == [Reason.PREEMPTED] * 3 + [Reason.SUCCEEDED]
    assert [attempt.exit_code for attempt in attempts] == [75, 75, 75, 0]
    assert attempts[-1].from_step
    assert status.usage is not None
    assert status.usage.lost_steps == 0
    assert_adds_up(status)
    assert place.events(run).count(Reason.PREEMPTED) >= 3
    # With the same adapter as an undisturbed run
    undisturbed = place.create("undisturbed", changes).wait_finished(TRAINED_SECONDS)
    assert _weights(place, status) == _weights(place, undisturbed)
    for number in range(3):
        kueue.give_back(place, f"urgent-{number}")


def assert_adds_up(status: LoRAFineTuneStatus) -> None:
    """Staging, queue, pause and training are the wall time."""
    start, end, usage = parse_time(status.start_time), parse_time(status.completion_time), status.usage
    assert start is not None
    assert end is not None
    assert usage is not None
    booked = usage.staging_seconds + usage.queue_seconds + usage.suspended_seconds + usage.train_seconds
    assert booked == pytest.approx((end - start).total_seconds(), rel=0.02, abs=1)


def _place(status: LoRAFineTuneStatus) -> int | None:
    return None if status.queue is None else status.queue.position


def _steps_since_start(status: LoRAFineTuneStatus) -> bool:
    """Whether the newest pod has reported: it is between its first and its last step."""
    progress, attempt = status.progress, train_attempts(status)[-1]
    reported = parse_time(progress.last_update_time) if progress else None
    started = parse_time(attempt.start_time)
    return status.phase == "Running" and reported is not None and started is not None and reported > started


def _seconds_until_free(place: TinyCluster) -> float:
    began = time.monotonic()
    wait_until("the GPU is free", lambda: kueue.quota_used(place) == 0, timeout=GRACE_SECONDS + 30)
    return time.monotonic() - began


def _weights(place: TinyCluster, status: LoRAFineTuneStatus) -> object:
    return place.manifest(status)["files"][layout.ADAPTER_WEIGHTS]
