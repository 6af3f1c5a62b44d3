"""Containers that something injected into a pod: they are named, and hold a finished stage up for minutes at most."""

from __future__ import annotations

from lora_contract.progress import TrainerStatus
from lora_contract.report import Report
from lora_operator.core.observe.observed import Progress
from lora_operator.core.run.decision import DeleteJob
from support.pod_reports import PREPARED, TRAINED, failed_report
from support.run_story import Story, given_finetune, given_training


def pod_is_kept(story: Story, stage: str, code: int, report: Report) -> Story:
    """Our container ends, an injected one does not."""
    story.pod_ends(stage, code, report)
    pod = next(reversed(story.pods.values()))
    pod["status"]["phase"] = "Running"
    pod["status"]["containerStatuses"].append({"name": "mesh-proxy", "state": {"running": {"startedAt": story.time}}})
    return story


def test_it_is_named_with_what_to_do() -> None:
    story = pod_is_kept(given_finetune().decides(), "prepare", 0, PREPARED).decides().after(20).decides()
    assert story.condition("Ready") == ("False", "OtherContainersRunning")
    assert "mesh-proxy" in story.message
    assert "native sidecars" in story.message


def test_a_finished_prepare_counts_after_minutes_and_its_job_goes() -> None:
    story = pod_is_kept(given_finetune().decides(), "prepare", 0, PREPARED).decides().after(301).decides()
    assert story.condition("Prepared") == ("True", "DataPrepared")
    assert story.decides().stages == ["train"]


def test_a_published_adapter_counts_after_minutes_and_its_job_goes() -> None:
    story = pod_is_kept(given_training(), "train", 0, TRAINED).decides().after(301).decides()
    assert story.condition("Complete") == ("True", "AdapterPublished")
    assert any(isinstance(action, DeleteJob) for action in story.asked().actions) or "train" not in story.stages


def test_a_final_error_counts_after_minutes() -> None:
    failed = failed_report("row 7 is no JSON", stage="prepare")
    story = pod_is_kept(given_finetune().decides(), "prepare", 65, failed).decides().after(301).decides()
    assert story.condition("Failed")[0] == "True"
    assert "row 7" in story.message


def test_a_prepare_job_has_a_deadline_of_the_platform_with_words_of_its_own() -> None:
    story = given_finetune(prepare_deadline_seconds=900).decides()
    assert story.job("prepare")["spec"]["activeDeadlineSeconds"] == 900
    story.pod_runs("prepare").after(900).job_ends("prepare", "Failed", "DeadlineExceeded").decides()
    assert story.condition("Failed") == ("True", "PrepareDeadlineExceeded")
    assert "900 s" in story.message
    assert "maxExecutionSeconds" not in story.message


def test_an_init_container_that_does_not_end_is_named() -> None:
    story = given_finetune().decides().pod_waits("prepare", "PodInitializing", "")
    pod = next(reversed(story.pods.values()))
    pod["spec"]["initContainers"] = [{"name": "native", "restartPolicy": "Always"}, {"name": "fetch"}]
    pod["status"]["initContainerStatuses"] = [{"name": name, "state": {"running": {}}} for name in ("native", "fetch")]
    story.decides().after(5).decides()
    assert story.condition("Ready") == ("False", "OtherContainersRunning")
    assert story.message.endswith("injected: fetch")


def test_how_far_prepare_is_shows_in_tens() -> None:
    story = given_finetune().decides().pod_runs("prepare").decides()
    status = TrainerStatus(progress_percentage=47)
    story.progress = Progress(status, story.now, next(reversed(story.pods)))
    assert "About 40 % are done." in story.decides().message
    assert story.condition("Ready") == ("False", "Preparing")
