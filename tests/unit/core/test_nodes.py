"""Nodes that die or whose GPU fails, and the Job that is made anew because of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from lora_contract.exit_codes import ExitCode
from lora_contract.times import format_time
from lora_operator.core.run.decision import DeleteJob
from support.pod_reports import TRAINED, failed_report
from support.run_story import UNREACHABLE, Story, given_training


def node_dies(story: Story) -> Story:
    (name,) = story.pods
    pod = story.pods[name]
    pod["status"]["conditions"] = UNREACHABLE
    return story


def cluster_gives_the_pod_up(story: Story, grace: int = 120) -> Story:
    (pod,) = story.pods.values()
    pod["metadata"]["deletionTimestamp"] = format_time(story.now + timedelta(seconds=grace))
    taint = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "taint"}
    pod["status"]["conditions"] = [*UNREACHABLE, taint]
    return story


def trains_alone(changes: dict[str, Any] | None = None) -> Story:
    story = given_training(changes).after(30)
    story.job_is_deleted(story.job("prepare")["metadata"]["name"])
    for name in story.gone:
        del story.pods[name]
    story.gone.clear()
    return story.decides()


def affinity(story: Story) -> dict[str, Any]:
    found: dict[str, Any] = story.job("train")["spec"]["template"]["spec"].get("affinity", {})
    return found


def test_a_node_that_stopped_answering_is_told_at_once() -> None:
    story = node_dies(trains_alone()).decides()

    assert story.condition("Reconciling") == ("True", "NodeLost")
    assert "node-1" in story.message
    assert story.decisions[-1].actions == ()


def test_a_node_that_comes_back_costs_nothing() -> None:
    story = node_dies(trains_alone()).decides()

    story.after(20).pod_runs("train").decides()

    assert story.condition("Reconciling") == ("True", "Training")
    assert [a.end_time for a in story.status.attempts] == [None]


def test_a_pod_that_the_cluster_gave_up_is_replaced_on_another_node() -> None:
    story = cluster_gives_the_pod_up(node_dies(trains_alone())).decides()
    name = story.job("train")["metadata"]["name"]
    assert story.decisions[-1].actions == ()
    again = story.decisions[-1].requeue_after
    assert again is not None

    story.after(again).decides()
    assert [a.reason for a in story.status.attempts] == ["NodeLost"]
    story.decides()
    assert DeleteJob(name) in story.decisions[-1].actions

    story.decides()
    assert story.job("train")["metadata"]["name"] == name
    (term,) = affinity(story)["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["preference"]["matchExpressions"][0]["values"] == ["node-1"]
    assert "JobDeleted" not in story.events

    story.after(5).pod_runs("train", "second").decides()
    story.after(60).pod_ends("train", 0, TRAINED, "second").job_ends("train").decides()
    assert [a.reason for a in story.status.attempts] == ["NodeLost", "Succeeded"]
    assert story.condition("Complete")[0] == "True"


def test_a_queued_run_on_a_dead_node_does_not_wait_for_it_when_preempted() -> None:
    story = cluster_gives_the_pod_up(node_dies(trains_alone()), grace=0)
    story.job("train")["spec"]["suspend"] = True

    story.after(20).decides()

    assert DeleteJob(story.decisions[0].actions[0].name) not in story.decisions[-1].actions  # type: ignore[union-attr]
    assert [a.reason for a in story.status.attempts] == ["NodeLost"]


def test_a_failed_gpu_is_left_for_another_node_and_counts_as_a_retry() -> None:
    story = trains_alone({"retries": 2})
    assert affinity(story) == {}

    story.pod_ends("train", ExitCode.GPU_FAILED, failed_report("uncorrectable ECC error")).decides().decides()
    assert [a.reason for a in story.status.attempts] == ["GpuFailed"]
    story.decides()

    assert "node-1" in str(affinity(story))
    assert story.job("train")["spec"]["backoffLimit"] == 1


def test_the_cause_is_written_before_the_job_that_shows_it_is_deleted() -> None:
    story = trains_alone({"retries": 2})
    name = story.job("train")["metadata"]["name"]

    story.pod_ends("train", ExitCode.GPU_FAILED, failed_report("uncorrectable ECC error")).decides()
    assert story.decisions[-1].actions == ()
    assert story.decisions[-1].requeue_after == 0
    assert [a.reason for a in story.status.attempts] == ["GpuFailed"]

    story.decides(crash_before_status=True)
    assert story.decisions[-1].actions == (DeleteJob(name),)
    story.pods.clear()
    story.decides().decides()
    assert [a.reason for a in story.status.attempts] == ["GpuFailed"]
    assert "JobDeleted" not in story.events


def test_without_retries_a_failed_gpu_ends_the_run() -> None:
    story = trains_alone({"retries": 0})

    story.pod_ends("train", ExitCode.GPU_FAILED, failed_report("uncorrectable ECC error")).decides()
    assert story.decisions[-1].actions == ()
    story.job_ends("train", "Failed", "BackoffLimitExceeded", failed=1).decides()

    assert story.condition("Failed") == ("True", "GpuFailed")


def test_train_pods_leave_a_dead_node_after_a_minute() -> None:
    tolerations = trains_alone().job("train")["spec"]["template"]["spec"]["tolerations"]

    seconds = {item["key"]: item["tolerationSeconds"] for item in tolerations}
    assert seconds == {"node.kubernetes.io/not-ready": 60, "node.kubernetes.io/unreachable": 60}
