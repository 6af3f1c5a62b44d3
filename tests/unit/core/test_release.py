"""Whatever a run fails for: the decision that says so also frees what it holds, and does not wait for an event."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lora_contract.exit_codes import USER_ERRORS, ExitCode
from lora_operator.core.observe.observed import WarningEvent, Warnings
from lora_operator.core.run.decision import DeleteJob
from support.cluster_story import workload_condition
from support.pod_reports import PREPARED, TRAINED, failed_report
from support.run_story import Story, given_finetune, given_training

QUOTA = 'pods "x" is forbidden: violates PodSecurity "restricted:latest"'
ACCOUNT = 'error looking up service account team-a/trainer: serviceaccount "trainer" not found'


def starting() -> Story:
    return given_finetune().decides().after(1).stage_succeeds("prepare", PREPARED).decides()


def waits(reason: str, message: str) -> Story:
    return starting().pod_waits("train", reason, message).decides().after(601).decides()


def refused(words: str) -> Story:
    story = starting().after(601)
    story.warnings = Warnings(
        story.job("train")["metadata"]["name"], story.monotonic, (WarningEvent("FailedCreate", words, story.now),)
    )
    return story.decides()


def internal_errors() -> Story:
    story = given_training({"retries": 5}).pod_ends("train", ExitCode.INTERNAL, failed_report("boom")).decides()
    story.after(5).pod_runs("train", "second").decides().after(5)
    return story.pod_ends("train", ExitCode.INTERNAL, failed_report("boom"), "second").decides()


def given_up_by_kueue() -> Story:
    story = given_finetune({"scheduling.queueName": "team-a"}).decides().after(1)
    story.kueue_installed = True
    story.stage_succeeds("prepare", PREPARED).decides().workload().kueue_admits().after(1).pod_runs("train").decides()
    story.job("train")["spec"]["suspend"] = True
    evicted = workload_condition("Evicted", "True", "DeactivatedDueToMaximumExecutionTimeExceeded", "too long")
    return story.workload(evicted, active=False).pod_ends("train", 75).decides()


def ended(code: int, reason: str = "PodFailurePolicy") -> Story:
    story = given_training().pod_ends("train", code, failed_report("no"))
    return story.job_ends("train", "Failed", reason, failed=1).decides()


def deleted_for_ever() -> Story:
    story = given_training()
    for number in range(3):
        story.after(10).job_is_deleted(story.job("train")["metadata"]["name"]).decides()
        if not story.status.finished:
            story.after(1).pod_runs("train", f"again-{number}").decides()
    return story


FAILURES: dict[str, Callable[[], Story]] = {
    "SecretMissing": lambda: waits("CreateContainerConfigError", 'secret "s3" not found'),
    "BadConfig": lambda: waits("CreateContainerConfigError", "configmap missing"),
    "ImagePullFailed": lambda: waits("ErrImagePull", "manifest unknown"),
    "InternalError: cannot start": lambda: waits("CreateContainerError", "no such device"),
    "VolumeMissing": lambda: (
        starting()
        .pod_is_unschedulable("train", 'persistentvolumeclaim "cache" not found')
        .decides()
        .after(601)
        .decides()
    ),
    "AdmissionDenied": lambda: refused(QUOTA),
    "ServiceAccountMissing": lambda: refused(ACCOUNT),
    "InternalError": internal_errors,
    "DeadlineExceeded": given_up_by_kueue,
    "DeadlineExceeded: Job": lambda: given_training().job_ends("train", "Failed", "DeadlineExceeded").decides(),
    "JobDeleted": deleted_for_ever,
    **{f"exit {code}": lambda code=code: ended(code) for code in USER_ERRORS},  # type: ignore[misc]
}


def holds_a_pod(story: Story) -> list[str]:
    """Jobs that may have a pod."""
    return [name for name, job in story.jobs.items() if not job.get("status", {}).get("conditions")]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_frees_what_the_run_holds(failure: str) -> None:
    story = FAILURES[failure]()

    assert story.condition("Failed")[0] == "True", story.message
    assert holds_a_pod(story) == []
    assert story.decisions[-1].requeue_after == 0


@pytest.mark.parametrize("failure", ["SecretMissing", "ImagePullFailed", "VolumeMissing", "AdmissionDenied"])
def test_the_status_is_written_before_anything_is_deleted(failure: str) -> None:
    decision = FAILURES[failure]().decisions[-1]

    assert not any(isinstance(action, DeleteJob) for action in decision.actions)
    assert any(isinstance(action, DeleteJob) for action in decision.follow_up)


def test_with_a_ttl_of_zero_the_jobs_go_with_the_result() -> None:
    story = given_training({"ttlSecondsAfterFinished": 0}).after(5).stage_succeeds("train", TRAINED).decides()

    assert story.condition("Complete")[0] == "True"
    assert story.jobs == {}


def test_an_operator_that_is_killed_before_it_deletes_does_so_when_it_looks_again() -> None:
    story = given_training({"ttlSecondsAfterFinished": 0}).after(5).stage_succeeds("train", TRAINED)
    jobs = dict(story.jobs)
    story.decides()
    story.jobs = jobs

    assert story.decides().jobs == {}


def test_the_ttl_is_waited_for_without_an_event() -> None:
    story = given_training({"ttlSecondsAfterFinished": 100}).after(5).stage_succeeds("train", TRAINED).decides()
    assert story.decisions[-1].requeue_after == 0

    story.decides()

    assert story.decisions[-1].requeue_after == pytest.approx(100)
    assert story.after(101).decides().jobs == {}
