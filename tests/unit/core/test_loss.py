"""What the cache does not hold is not lost: it is asked for first, and what was published is found in S3."""

from __future__ import annotations

import pytest

from lora_contract.exit_codes import ExitCode
from lora_operator.core.run.decision import CreateJob, ReadObjects
from support.pod_reports import ARTIFACT, PREPARED, RUN_ID, TRAINED, failed_report
from support.run_story import Story, given_finetune, given_training

ADOPTED = PREPARED.model_copy(update={"adopted": True, "artifact": ARTIFACT})


def blind(story: Story) -> Story:
    """Nothing is seen of the run's pods until somebody asks."""
    return story.pods_are_not_watched()


def report_is_lost(stage: str) -> Story:
    """A Job is complete, and its pod is gone without a word: the API server was asked."""
    story = given_finetune().decides() if stage == "prepare" else given_training().after(30)
    story.pods.clear()
    return story.job_ends(stage).decides().after(3).decides()


def train_jobs(story: Story) -> int:
    made = [action for decision in story.decisions for action in decision.actions if isinstance(action, CreateJob)]
    return sum(1 for job in made if job.manifest["metadata"]["labels"]["lora-operator.dev/stage"] == "train")


# ---- seen too late


@pytest.mark.parametrize("away", [30, 180, 3600])
def test_a_pod_whose_end_was_not_seen_is_asked_for_and_its_adapter_counts(away: float) -> None:
    # A run whose pod ended well while the API server did not answer
    story = blind(given_training()).after(away).stage_succeeds("train", TRAINED).after(away, told=False)
    # The Job's end is seen, long after it happened, and not yet the pod's
    story.decides()
    assert not story.status.finished
    story.after(3).decides()
    # The pods were read before anything was concluded
    assert ReadObjects() in [action for decision in story.decisions for action in decision.actions]
    assert story.condition("Complete") == ("True", "AdapterPublished")


def test_a_prepare_pod_whose_end_was_not_seen_is_asked_for() -> None:
    story = blind(given_finetune().decides().pod_runs("prepare")).after(180).stage_succeeds("prepare", PREPARED)

    story.decides().after(3).decides()

    assert story.condition("Prepared")[0] == "True"
    assert story.stages == ["prepare", "train"]


def test_the_cause_of_a_failure_is_that_of_the_pod_that_was_not_seen() -> None:
    story = given_training().pod_ends("train", ExitCode.UNAVAILABLE, failed_report("S3 does not answer")).decides()
    blind(story.after(10).pod_runs("train", "second").decides()).after(60)
    story.pod_ends("train", ExitCode.BAD_DATA, failed_report("line 7"), "second")
    story.job_ends("train", "Failed", "PodFailurePolicy", failed=2).decides().after(3).decides()

    assert story.condition("Failed") == ("True", "BadData")


def test_nothing_is_concluded_while_the_api_server_cannot_be_asked() -> None:
    # A Job that ended, and readings that fail
    story = blind(given_training()).stage_succeeds("train", TRAINED).decides()
    # When time passes, all that is decided is to read
    for _ in range(5):
        story.after(600)
        assert story.asked().actions == (ReadObjects(),)
        assert story.asked().status == story.status


def test_a_reading_from_before_the_end_was_seen_proves_nothing() -> None:
    story = given_training()
    story.read = story.monotonic + 1
    story.after(10).pods.clear()

    assert story.asked().actions == (ReadObjects(),)


def test_an_attempt_is_not_closed_because_its_pod_is_not_in_the_cache() -> None:
    story = given_training()
    pods = dict(story.pods)
    story.stale_pods = {}

    assert story.asked().actions == (ReadObjects(),)
    story.decides()

    assert story.pods == pods
    assert [attempt.end_time for attempt in story.status.attempts] == [None]


def test_a_job_is_not_called_deleted_before_the_api_server_was_asked() -> None:
    story = given_training()
    story.jobs.pop(story.job("train")["metadata"]["name"])

    assert story.asked().actions == (ReadObjects(),)


@pytest.mark.parametrize("told", ["gone", "stopped, and ended with a checkpoint"])
def test_the_end_of_a_pod_that_is_seen_before_its_jobs_deletion_is_told_as_that_of_the_job(told: str) -> None:
    # A user deletes a Job: what becomes of its pod is seen at once, and of the Job not yet
    story = given_training().after(5).jobs_are_not_watched()
    if told == "gone":
        story.job_is_deleted(story.job("train")["metadata"]["name"])
    else:
        story.pod_is_stopped("train").pod_ends("train", ExitCode.CHECKPOINTED)
        del story.jobs[story.job("train")["metadata"]["name"]]
    # Jobs and pods are read before the end gets a name
    assert story.asked().actions == (ReadObjects(),)
    story.decides()
    assert [attempt.reason for attempt in story.status.attempts] == ["JobDeleted"]


# ---- lost


def test_a_run_whose_report_is_lost_looks_in_s3_without_a_gpu() -> None:
    story = report_is_lost("train")
    assert not story.status.finished
    assert "its adapter is looked for in S3" in story.message.replace("Its", "its")
    assert story.events.count("ReportMissing") == 1

    story.decides()

    assert story.status.phase == "Preparing"
    (job,) = [job for job in story.jobs.values() if job["metadata"]["labels"]["lora-operator.dev/stage"] == "prepare"]
    assert job["metadata"]["annotations"]["lora-operator.dev/run-id"] == RUN_ID


def test_what_was_published_before_the_report_was_lost_is_the_runs_adapter() -> None:
    story = report_is_lost("train").decides().after(5).stage_succeeds("prepare", ADOPTED).decides()

    assert story.condition("Complete") == ("True", "AdapterPublished")
    assert story.status.artifact == ARTIFACT
    assert train_jobs(story) == 1


def test_a_lost_report_without_an_adapter_fails_and_trains_no_second_time() -> None:
    story = report_is_lost("train").decides().after(5).stage_succeeds("prepare", PREPARED).decides()

    assert story.condition("Failed") == ("True", "ReportMissing")
    assert "S3 holds no adapter of it" in story.message
    assert train_jobs(story) == 1


def test_a_second_look_that_fails_says_why() -> None:
    story = report_is_lost("train").decides().after(5)
    story.pod_ends("prepare", ExitCode.INPUT_MISSING, failed_report("no such object", stage="prepare"))
    story.job_ends("prepare", "Failed", "PodFailurePolicy", failed=1).decides()

    assert story.condition("Failed") == ("True", "ReportMissing")
    assert "no such object" in story.message


def test_a_second_look_whose_own_report_is_not_seen_is_asked_for() -> None:
    story = blind(report_is_lost("train").decides().pod_runs("prepare")).after(60).stage_succeeds("prepare", ADOPTED)

    story.decides().after(3).decides()

    assert story.condition("Complete")[0] == "True"


def test_the_train_job_may_go_during_the_second_look() -> None:
    story = report_is_lost("train").decides()
    story.jobs.pop(story.job("train")["metadata"]["name"])

    story.after(5).stage_succeeds("prepare", PREPARED).decides().decides()

    assert story.condition("Failed") == ("True", "ReportMissing")
    assert train_jobs(story) == 1


def test_an_operator_that_is_killed_before_it_writes_the_loss_down_comes_to_the_same_end() -> None:
    story = given_training().after(30)
    story.pods.clear()
    story.job_ends("train").decides().after(3).decides(crash_before_status=True)
    story.first_seen, story.read = {}, None

    story.decides().after(3).decides().decides().after(5).stage_succeeds("prepare", ADOPTED).decides()

    assert story.condition("Complete")[0] == "True"
    assert train_jobs(story) == 1


def test_a_failed_job_without_pods_looks_in_s3_too() -> None:
    story = given_training().after(30)
    story.pods.clear()
    story.job_ends("train", "Failed", "BackoffLimitExceeded", failed=1).decides().after(3).decides()
    attempts = [(a.reason, a.end_time is not None) for a in story.status.attempts]
    assert attempts == [("ReportMissing", True)]

    story.decides().after(5).stage_succeeds("prepare", PREPARED).decides()

    assert story.condition("Failed") == ("True", "InternalError")
    assert "its pods are gone" in story.message


def test_a_prepare_whose_report_is_lost_is_done_once_more() -> None:
    story = report_is_lost("prepare").decides()
    (again,) = story.jobs.values()
    assert "status" not in again

    story.pods.clear()
    story.job_ends("prepare").decides().after(3).decides()

    assert story.condition("Failed") == ("True", "ReportMissing")


def test_the_time_of_a_train_pod_that_was_never_seen_counts() -> None:
    story = given_finetune().decides().stage_succeeds("prepare", PREPARED).decides().after(100).job_ends("train")
    story.decides().after(3).decides()

    (attempt,) = story.status.attempts
    assert (attempt.pod, attempt.reason) == (None, "ReportMissing")
    assert story.status.usage is not None
    assert story.status.usage.gpu_seconds == 100
