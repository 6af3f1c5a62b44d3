"""Each way to fail has its reason, its words and its consequence: retry, wait, or the end."""

from __future__ import annotations

from typing import Any

import pytest

from lora_contract.exit_codes import FINAL, ExitCode
from lora_contract.progress import METRIC_FROM_STEP
from lora_contract.reasons import REASON_OF_EXIT_CODE
from lora_contract.report import Timing
from support.pod_reports import RUN_ID, TRAINED, failed_report
from support.run_story import Story, given_finetune, given_training


def preparing() -> Story:
    return given_finetune().decides().after(1)


def attempt_reasons(story: Story) -> list[str | None]:
    return [attempt.reason for attempt in story.status.attempts]


# ---- what the pod says by its exit code


@pytest.mark.parametrize("code", FINAL)
@pytest.mark.parametrize("stage", ["prepare", "train"])
def test_a_user_error_ends_the_run_with_the_pods_words(stage: str, code: ExitCode) -> None:
    story = preparing() if stage == "prepare" else given_training()
    report = failed_report("line 7: not JSON", param="s3://datasets/triage.jsonl:7", stage=stage)

    story.pod_ends(stage, code, report).decides()
    waiting_for_the_job = story.status.phase
    story.after(1).job_ends(stage, "Failed", "PodFailurePolicy", failed=1).decides()

    assert waiting_for_the_job != "Failed"
    assert story.condition("Failed") == ("True", REASON_OF_EXIT_CODE[code])
    assert story.condition("Stalled")[0] == "True"
    assert story.status.error is not None
    assert story.status.error.param == "s3://datasets/triage.jsonl:7"
    assert story.message.startswith("line 7: not JSON")
    assert ("train" in story.stages) == (stage == "train")
    assert story.events.count(str(REASON_OF_EXIT_CODE[code])) == 1


def test_a_failed_pod_is_started_again_and_the_attempt_is_kept() -> None:
    story = given_training().after(10)
    story.pod_ends("train", ExitCode.UNAVAILABLE, failed_report("S3 does not answer")).decides()
    assert story.condition("Reconciling") == ("True", "Starting")
    assert attempt_reasons(story) == ["Unavailable"]

    resumed = TRAINED.model_copy(update={"timing": Timing(from_step=8, last_step=24, lost_steps=3)})
    story.after(10).pod_runs("train", "second").decides()
    story.after(20).pod_ends("train", 0, resumed, "second").job_ends("train").decides()

    assert story.condition("Complete")[0] == "True"
    assert attempt_reasons(story) == ["Unavailable", "Succeeded"]
    assert story.status.attempts[1].from_step == 8
    assert story.status.usage is not None
    assert (story.status.usage.gpu_seconds, story.status.usage.lost_steps) == (30, 3)


def test_retries_run_out_with_the_last_words() -> None:
    story = given_training().pod_ends("train", ExitCode.INTERNAL, failed_report("boom")).decides()

    story.job_ends("train", "Failed", "BackoffLimitExceeded", failed=4).decides()

    assert story.condition("Failed") == ("True", "RetriesExhausted")
    assert "4 times" in story.message
    assert "boom" in story.message


def test_an_internal_error_is_retried_once_whatever_retries_are_left() -> None:
    # A run with three retries whose pod met a defect
    story = given_training().pod_ends("train", ExitCode.INTERNAL, failed_report("boom 1")).decides()
    assert story.condition("Failed")[0] == "False"
    # Another pod meets it
    story.after(20).pod_runs("train", "second").decides()
    story.pod_ends("train", ExitCode.INTERNAL, failed_report("boom 2"), "second").decides()
    # The run fails with the last words, and its Job goes
    assert story.condition("Failed") == ("True", "InternalError")
    assert "2 times" in story.message
    assert "boom 2" in story.message
    story.decides()
    assert "train" not in story.stages


def test_other_failures_between_two_internal_errors_do_not_hide_the_second() -> None:
    story = given_training().pod_ends("train", ExitCode.INTERNAL, failed_report("boom")).decides()
    for name, code in (("second", ExitCode.UNAVAILABLE), ("third", ExitCode.INTERNAL)):
        story.after(20).pod_runs("train", name).decides()
        story.pod_ends("train", code, failed_report(name), name).decides()
    assert story.condition("Failed") == ("True", "InternalError")


def test_without_retries_the_reason_is_that_of_the_pod() -> None:
    story = preparing().pod_ends("prepare", ExitCode.UNAVAILABLE, failed_report("S3 does not answer", stage="prepare"))

    story.job_ends("prepare", "Failed", "BackoffLimitExceeded", failed=1).decides()

    assert story.condition("Failed") == ("True", "Unavailable")


def test_a_missed_deadline_is_named_as_such() -> None:
    story = given_training({"scheduling.maxExecutionSeconds": 60})

    story.job_ends("train", "Failed", "DeadlineExceeded").decides()

    assert story.condition("Failed") == ("True", "DeadlineExceeded")
    assert "maxExecutionSeconds" in story.message


def test_at_most_ten_attempts_are_kept_the_newest() -> None:
    story = given_training().pod_ends("train", ExitCode.CHECKPOINTED).decides()
    for number in range(14):
        story.after(5).pod_runs("train", f"pod-{number:02}").decides()
        story.pod_ends("train", ExitCode.CHECKPOINTED, name=f"pod-{number:02}").decides()

    assert [a.pod for a in story.status.attempts] == [f"pod-{number:02}" for number in range(4, 14)]


# ---- what the cluster does to a pod


@pytest.mark.parametrize(
    ("code", "pod", "reason"),
    [
        (137, {"reason": "OOMKilled"}, "OOMKilled"),
        (137, {}, "Killed"),
        (143, {}, "Killed"),
        (1, {}, "InternalError"),
        (75, {}, "Checkpointed"),
        (75, {"conditions": [("DisruptionTarget", "PreemptionByScheduler")]}, "Preempted"),
        (143, {"conditions": [("DisruptionTarget", "EvictionByEvictionAPI")]}, "Evicted"),
        (137, {"conditions": [("DisruptionTarget", "DeletionByTaintManager")]}, "NodeLost"),
    ],
)
def test_an_ended_pod_has_its_reason(code: int, pod: dict[str, Any], reason: str) -> None:
    story = given_training().after(5)
    conditions = [
        {"type": kind, "status": "True", "reason": why, "message": "because"} for kind, why in pod.pop("conditions", [])
    ]

    story.pod_ends("train", code, conditions=conditions, **pod).decides()

    assert attempt_reasons(story) == [reason]
    assert reason in story.events
    assert not story.status.finished


def evict(story: Story, words: str, **status: Any) -> Story:
    """The kubelet evicts the train pod."""
    story.pod_ends("train", 137, **status)
    (pod,) = (body for name, body in story.pods.items() if "-train-" in name)
    pod["status"] |= {"reason": "Evicted", "message": words}
    return story


@pytest.mark.parametrize(
    "words",
    [
        'Usage of EmptyDir volume "scratch" exceeds the limit "28Gi".',
        "Pod ephemeral local storage usage exceeds the total limit of containers 51Gi.",
        'Container trainer exceeded its local ephemeral storage limit "51Gi".',
    ],
)
def test_a_pod_that_exceeds_its_disk_ends_the_run_at_once_as_the_next_one_would_write_as_much(words: str) -> None:
    story = given_training(train_ephemeral_storage="50Gi").after(5)
    # The kubelet evicts the pod for what it wrote itself
    evict(story, words).decides()
    # The run fails with the kubelet's words and what to raise, and its Job goes
    assert story.status.error is not None
    assert story.status.error.code == "EphemeralStorageExceeded"
    assert words.rstrip(".") in story.status.error.message
    assert "trainer.scratch" in str(story.status.error.hint)
    story.decides()
    assert not story.jobs or not any("-train-" in name for name in story.jobs)


@pytest.mark.parametrize(
    ("platform", "says"),
    [({}, "set trainer.ephemeralStorage of the chart"), ({"train_ephemeral_storage": "50Gi"}, "raise trainer.scratch")],
    ids=["a LimitRange's", "ours"],
)
def test_a_limit_of_disk_that_somebody_else_set_has_its_own_remedy(platform: dict[str, str], says: str) -> None:
    story = given_training(**platform).after(30)

    evict(story, "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.").decides()

    assert story.status.error is not None
    assert story.status.error.code == "EphemeralStorageExceeded"
    assert says in (story.status.error.hint or "")


def test_an_eviction_for_a_node_that_runs_out_of_disk_is_no_failure_of_the_run() -> None:
    story = given_training().after(5)
    words = "The node was low on resource: ephemeral-storage."
    pressure = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": words}
    evict(story, words, conditions=[pressure]).decides()
    assert attempt_reasons(story) == ["Evicted"]
    assert not story.status.finished


def test_a_pod_deleted_by_hand_is_told_and_the_next_one_resumes() -> None:
    story = given_training().reports_progress(9, **{METRIC_FROM_STEP: 0}).after(5).decides()

    story.pod_is_gone("train").decides()

    assert attempt_reasons(story) == ["PodDeleted"]
    assert story.status.attempts[0].last_step == 9
    assert story.condition("Reconciling") == ("True", "Starting")


def test_a_pod_that_vanished_while_the_operator_was_away_is_closed() -> None:
    story = given_training()
    story.pods.clear()

    story.after(60).decides().decides()

    assert attempt_reasons(story) == ["PodDeleted"]
    assert story.status.attempts[0].end_time is not None


def test_a_job_deleted_by_hand_is_created_again() -> None:
    story = given_training().after(5)
    name = story.job("train")["metadata"]["name"]
    story.job_is_deleted(name)

    story.decides()

    assert story.job("train")["metadata"]["name"] == name
    assert attempt_reasons(story) == ["JobDeleted"]
    assert "JobDeleted" in story.events
    assert story.status.run_id == RUN_ID
    assert "prepare" in story.stages


def test_a_job_that_was_deleted_and_made_again_while_the_operator_was_away_is_told_of() -> None:
    """The Job that is made again has the name of the first, and is complete when the operator comes back."""
    story = given_training().after(5)
    name = story.job("train")["metadata"]["name"]
    story.job_is_deleted(name)
    story.pods.clear()
    story.gone.clear()
    while not any(job == name for job in story.jobs):  # it reads first whether the Job is gone
        story.decides(crash_before_status=True)
    story.after(60, told=False).pod_runs("train", "pod-2").after(60, told=False)
    story.pod_ends("train", 0, TRAINED, name="pod-2").job_ends("train").decides().decides()

    assert attempt_reasons(story) == ["JobDeleted", "Succeeded"]
    assert story.condition("Complete") == ("True", "AdapterPublished")


def test_a_job_that_somebody_keeps_deleting_fails_the_run() -> None:
    story = given_training()
    for number in range(3):
        if number:
            story.after(5).pod_runs("train", f"pod-{number}").decides()
        story.job_is_deleted(story.job("train")["metadata"]["name"])
        story.decides()

    assert story.condition("Failed") == ("True", "JobDeleted")
    assert story.stages == ["prepare"]


def test_the_prepare_job_is_not_needed_any_more_once_its_result_is_latched() -> None:
    story = given_training()
    story.job_is_deleted(story.job("prepare")["metadata"]["name"])

    story.after(5).decides()

    assert story.stages == ["train"]
    assert story.status.phase == "Running"


def test_a_pod_that_the_node_refuses_is_explained() -> None:
    story = given_training().after(1)

    story.pod_of("train", "second", phase="Failed", reason="OutOfnvidia.com/gpu", message="no GPU left").decides()

    assert attempt_reasons(story)[-1] == "Unschedulable"
    assert "OutOfnvidia.com/gpu" in (story.status.attempts[-1].message or "")
