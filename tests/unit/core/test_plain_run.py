"""The whole way of a run that nothing disturbs."""

from __future__ import annotations

from lora_contract.status import MetricsStatus, ToolCallsStatus
from lora_operator.core.run.decision import CreateJob
from support.pod_reports import ARTIFACT, PREPARED, RUN_ID, TRAINED
from support.run_story import given_finetune, given_training


def test_the_first_visit_starts_prepare_and_writes_every_condition() -> None:
    story = given_finetune().decides()

    assert story.stages == ["prepare"]
    assert story.status.phase == "Preparing"
    assert [c.type for c in story.status.conditions] == [
        "Accepted",
        "Prepared",
        "Ready",
        "Reconciling",
        "Stalled",
        "Suspended",
        "Finished",
        "Complete",
        "Failed",
    ]
    assert all(c.observed_generation == 1 for c in story.status.conditions)
    assert story.condition("Reconciling") == ("True", "Preparing")
    assert story.condition("Stalled")[0] == "False"


def test_prepared_data_start_training_in_the_same_decision() -> None:
    story = given_finetune().decides().after(5).stage_succeeds("prepare", PREPARED).decides()

    assert story.stages == ["prepare", "train"]
    assert story.status.run_id == RUN_ID
    assert story.status.plan is not None
    assert story.status.plan.total_steps == 24
    assert story.condition("Prepared") == ("True", "DataPrepared")
    assert story.status.usage is not None
    assert story.status.usage.staging_seconds == 5


def test_what_was_measured_joins_what_progress_said() -> None:
    counted = ToolCallsStatus(share="0.5", rows=2, right_rows=1)
    measured = MetricsStatus(test_loss="0.4100", tool_calls=counted)
    report = TRAINED.model_copy(update={"metrics": measured})

    story = given_training().reports_progress(12, train_loss=1.25).after(100).stage_succeeds("train", report).decides()

    assert story.status.metrics is not None
    assert story.status.metrics.test_loss == "0.4100"
    assert story.status.metrics.tool_calls == counted


def test_a_published_adapter_completes_the_run() -> None:
    story = given_training().after(100).stage_succeeds("train", TRAINED).decides()

    status = story.status
    assert status.phase == "Complete"
    assert status.artifact == ARTIFACT
    assert status.metrics is not None
    assert status.metrics.test_loss == "0.4100"
    assert status.progress is not None
    assert status.progress.summary == "24/24 (100%)"
    assert status.completion_time == story.time
    assert status.usage is not None
    assert (status.usage.gpu_seconds, status.usage.gpu_idle_seconds) == (100, 30)
    assert [a.reason for a in status.attempts] == ["Succeeded"]
    for kind in ("Ready", "Finished", "Complete"):
        assert story.condition(kind) == ("True", "AdapterPublished")
    for kind in ("Reconciling", "Stalled", "Failed"):
        assert story.condition(kind)[0] == "False"


def test_a_plain_run_needs_six_writes_and_tells_each_step_once() -> None:
    story = given_finetune().decides()
    story.after(0.1).pod_of("prepare").decides()
    story.after(1).pod_runs("prepare").decides()
    story.after(5).pod_ends("prepare", 0, PREPARED).decides()
    story.after(1).job_ends("prepare").decides()
    story.after(0.1).pod_of("train").decides()
    story.after(1).pod_runs("train").decides()
    story.after(60).pod_ends("train", 0, TRAINED).decides()
    story.after(1).job_ends("train").decides().decides()

    assert story.status.phase == "Complete"
    assert story.writes == 6
    assert story.events == ["Preparing", "DataPrepared", "Starting", "Training", "AdapterPublished"]


def test_an_adapter_that_exists_is_adopted_without_a_train_job() -> None:
    adopted = PREPARED.model_copy(update={"adopted": True, "artifact": ARTIFACT})

    story = given_finetune().decides().stage_succeeds("prepare", adopted).decides()

    assert story.stages == ["prepare"]
    assert story.condition("Complete") == ("True", "AdoptedExistingArtifact")
    assert story.status.artifact == ARTIFACT


def test_an_adapter_that_missed_its_gate_is_not_complete_when_found_again() -> None:
    found = PREPARED.model_copy(update={"adopted": True, "artifact": ARTIFACT, "gate_failed": "the loss ratio is 1.2"})

    story = given_finetune().decides().stage_succeeds("prepare", found).decides()

    assert story.condition("Failed") == ("True", "QualityGateFailed")
    assert story.status.artifact == ARTIFACT


def test_a_missed_quality_gate_fails_but_keeps_the_adapter() -> None:
    missed = TRAINED.model_copy(update={"gate_failed": "loss ratio 1.02 is above maxLossRatio 0.98"})

    story = given_training().stage_succeeds("train", missed).decides()

    assert story.condition("Failed") == ("True", "QualityGateFailed")
    assert story.condition("Stalled")[0] == "True"
    assert story.status.artifact == ARTIFACT
    assert "maxLossRatio" in story.message


def test_a_report_that_comes_late_counts() -> None:
    story = given_training().job_ends("train").decides().after(3).pod_ends("train", 0, TRAINED).decides()

    assert story.condition("Complete")[0] == "True"


def test_a_condition_keeps_its_time_until_it_flips() -> None:
    story = given_finetune().decides()
    first = story.time
    story.after(50).stage_succeeds("prepare", PREPARED).decides()

    times = {c.type: c.last_transition_time for c in story.status.conditions}
    assert times["Ready"] == times["Reconciling"] == first
    assert times["Prepared"] == story.time


def test_a_run_without_gpus_asks_for_none() -> None:
    story = given_training({"compute.gpus": 0}).after(10).stage_succeeds("train", TRAINED).decides()

    (container,) = story.job("train")["spec"]["template"]["spec"]["containers"]
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert story.status.usage is not None
    assert story.status.usage.gpu_seconds == 0


def test_a_deleted_resource_is_left_to_the_garbage_collector() -> None:
    story = given_finetune()
    story.body["metadata"]["deletionTimestamp"] = story.time

    decision = story.asked()

    assert decision.actions == ()


def test_equal_observations_give_equal_decisions() -> None:
    story = given_finetune()

    assert story.asked() == story.asked()
    assert isinstance(story.asked().actions[0], CreateJob)
