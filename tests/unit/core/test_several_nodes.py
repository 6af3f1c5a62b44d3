"""A run on several nodes: one Job of several pods, which meet at the first of them; that one speaks for the run."""

from __future__ import annotations

from typing import Any

from lora_contract import names
from lora_contract.exit_codes import ExitCode
from lora_contract.report import Report
from lora_contract.times import format_time
from lora_operator.core.observe.resource import CreateError
from lora_operator.core.record.attempts import counted_failures
from lora_operator.core.run import limits
from lora_operator.core.run.decision import CreateService, DeleteJob
from support.pod_reports import PREPARED, TRAINED, failed_report
from support.run_story import UNREACHABLE, Story, given_finetune

#: What a pod reports that did its share and does not speak for the run.
SILENT = Report(stage="train", run_id="a" * 32)


def given_job(changes: dict[str, Any] | None = None) -> Story:
    """A run on two nodes whose train Job was created a moment ago."""
    spec = {"compute.gpus": 4, "compute.nodes": 2} | (changes or {})
    story = given_finetune(spec).decides().after(2).stage_succeeds("prepare", PREPARED)
    return story.decides().decides().after(2)


def given_running(changes: dict[str, Any] | None = None) -> Story:
    story = given_job(changes)
    for index in (0, 1):
        story.pod_runs("train", pod(story, index))
    return story.decides()


def pod(story: Story, index: int, suffix: str = "abcde") -> str:
    return f"{story.job('train')['metadata']['name']}-{index}-{suffix}"


def services(story: Story) -> list[CreateService]:
    return [action for decision in story.decisions for action in decision.actions if isinstance(action, CreateService)]


def test_the_pods_meet_through_a_service_that_goes_with_their_job() -> None:
    # A run on two nodes
    story = given_job()
    job = story.job("train")
    template = job["spec"]["template"]["spec"]
    # Its pods have names below a Service, and know where the first of them listens
    (service,) = services(story)
    name = service.manifest["metadata"]["name"]
    assert template["subdomain"] == name
    environment = {each["name"]: each.get("value") for each in template["containers"][0]["env"]}
    assert environment[names.ENV_GROUP_ADDRESS] == f"{job['metadata']['name']}-0.{name}:{names.GROUP_PORT}"
    # The Service is headless, finds pods before they are ready, and is owned by the Job
    spec = service.manifest["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    assert spec["selector"] == {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    (owner,) = service.manifest["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Job", job["metadata"]["uid"])
    # It is created once
    story.decides()
    assert len(services(story)) == 1


def test_a_name_that_begins_with_a_digit_gives_a_service_name() -> None:
    job = names.job_name("7b-triage", "train", uid="1", spec_hash="2", run_token="")
    assert names.service_name(job).startswith("lora-")
    assert names.service_name(job).removeprefix("lora-") == job.rpartition("-")[2]


def test_one_node_needs_no_service() -> None:
    story = given_finetune().decides().after(2).stage_succeeds("prepare", PREPARED).decides().decides()
    assert services(story) == []
    template = story.job("train")["spec"]["template"]["spec"]
    assert "subdomain" not in template
    assert names.ENV_GROUP_ADDRESS not in str(template)


def test_a_restarted_operator_makes_sure_of_the_service_again() -> None:
    story = given_running()
    story.services = frozenset()
    phase = story.status.phase
    story.decides()
    assert len(services(story)) == 2
    assert story.status.phase == phase


def test_a_service_that_is_refused_is_told_and_tried_again() -> None:
    story = given_finetune({"compute.nodes": 2}).decides().after(2).stage_succeeds("prepare", PREPARED).decides()
    (create,) = (action for action in story.asked().actions if isinstance(action, CreateService))
    story.create_error = CreateError(
        create.manifest["metadata"]["name"], 403, "exceeded quota: services", story.monotonic
    )
    # When it was refused, the status says so, and nothing is tried for a while
    story.decides()
    assert story.condition("Reconciling") == ("True", "QuotaExceeded")
    assert "services" in story.message
    assert services(story) == []
    # Then it is tried again
    story.after(20).decides()
    assert len(services(story)) == 1


def test_a_run_goes_on_only_when_all_its_pods_run() -> None:
    story = given_job()
    story.pod_runs("train", pod(story, 0)).decides()
    assert story.status.phase == "Queued"
    # When the second pod finds no node, that is said, though the first one runs
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: no GPU"}
    story.pod_of("train", pod(story, 1), conditions=[condition]).after(10).decides()
    assert story.condition("Reconciling") == ("True", "Unschedulable")
    assert "no GPU" in story.message
    story.pod_runs("train", pod(story, 1)).decides()
    assert story.status.phase == "Running"


def test_the_first_pod_speaks_and_all_gpus_are_counted() -> None:
    story = given_running().after(100)
    # A run whose second pod ends last, with nothing to say
    story.pod_ends("train", 0, TRAINED, pod(story, 0)).decides()
    story.after(2).pod_ends("train", 0, SILENT, pod(story, 1)).job_ends("train").decides()
    # The report of the first one is the result
    assert story.condition("Complete")[0] == "True"
    assert story.status.artifact == TRAINED.artifact
    # There is one attempt, which used the GPUs of both nodes
    assert [(a.pod, a.reason) for a in story.status.attempts] == [(pod(story, 0), "Succeeded")]
    assert story.status.usage is not None
    assert story.status.usage.train_seconds == 100
    assert story.status.usage.gpu_seconds == 800


def test_a_pod_that_ended_well_is_only_waited_for() -> None:
    story = given_running().after(100)
    story.pod_ends("train", 0, SILENT, pod(story, 1)).decides()
    assert story.status.phase == "Running"


def test_a_killed_pod_is_told_and_costs_one_retry_while_the_others_go_on() -> None:
    story = given_running().after(50)
    # The second pod is out of memory
    story.pod_ends("train", 137, None, pod(story, 1), reason="OOMKilled").decides()
    # Its end can be read, and the first pod is still the same attempt
    assert [(a.pod, a.reason) for a in story.status.attempts] == [
        (pod(story, 0), None),
        (pod(story, 1), "OOMKilled"),
    ]
    assert "OOMKilled" in story.message
    assert story.status.phase == "Queued"
    # When the Job replaced it, the run goes on
    story.after(5).pod_runs("train", pod(story, 1, "fghij")).decides()
    assert story.status.phase == "Running"
    story.after(50).pod_ends("train", 0, SILENT, pod(story, 1, "fghij"))
    story.pod_ends("train", 0, TRAINED, pod(story, 0)).job_ends("train").decides()
    assert story.condition("Complete")[0] == "True"
    assert story.status.usage is not None
    assert story.status.usage.train_seconds == 105


def test_pods_that_stop_together_after_a_checkpoint_are_one_attempt() -> None:
    story = given_running().after(50)
    for index in (0, 1):
        story.pod_ends("train", ExitCode.CHECKPOINTED, SILENT, pod(story, index))
    story.decides()
    assert [(a.pod, a.reason) for a in story.status.attempts] == [(pod(story, 0), "Checkpointed")]


def test_the_error_that_ended_the_job_is_that_of_the_run() -> None:
    story = given_running().after(50)
    # The second pod cannot go on, and its Job therefore stops the first one
    story.pod_ends("train", ExitCode.LOSS_NOT_FINITE, failed_report("the loss at step 5 is not finite"), pod(story, 1))
    story.pod_ends("train", ExitCode.CHECKPOINTED, SILENT, pod(story, 0))
    story.job_ends("train", "Failed", "PodFailurePolicy", failed=1).decides()
    # The run failed with the words of the second
    assert story.condition("Failed") == ("True", "LossNotFinite")
    assert "step 5" in story.message


def test_a_dead_node_under_any_pod_moves_the_run() -> None:
    story = given_running({"retries": 2}).after(50)
    story.pod_ends("train", ExitCode.GPU_FAILED, failed_report("ECC error"), pod(story, 1)).decides().decides()
    assert DeleteJob(story.decisions[0].actions[0].name) not in story.decisions[-1].actions  # type: ignore[union-attr]
    assert any(isinstance(action, DeleteJob) for action in story.decisions[-1].actions)


def test_a_node_lost_under_the_second_pod_is_told_avoided_and_counts_as_no_retry() -> None:
    # A run whose second pod is on a node that died, and that the cluster gave up
    story = given_running({"retries": 0}).after(50)
    first, second = pod(story, 0), pod(story, 1)
    lost = story.pods[second]
    lost["status"]["conditions"] = UNREACHABLE
    lost["metadata"]["deletionTimestamp"] = format_time(story.now)
    story.decides()
    assert story.condition("Reconciling") == ("True", "NodeLost")
    # When its time is over, the Job is made anew elsewhere
    story.after(limits.NODE_GRACE).decides().decides()
    assert any(isinstance(action, DeleteJob) for action in story.decisions[-1].actions)
    story.decides()
    assert "affinity" in story.job("train")["spec"]["template"]["spec"]
    # The lost pod is told of; it is no failure that counts, nor is the pod that was stopped for it
    assert {a.pod: a.reason for a in story.status.attempts}[second] == "NodeLost"
    assert first in {a.pod for a in story.status.attempts}
    assert counted_failures(story.status) == 0
    assert "JobDeleted" not in story.events


def test_attempts_that_made_room_do_not_come_back() -> None:
    # More failed pods than attempts are kept
    story = given_running()
    for number in range(12):
        story.after(10).pod_ends("train", 137, None, pod(story, 1, f"try{number}")).decides()
    shown = [attempt.pod for attempt in story.status.attempts]
    assert len(shown) == 10
    assert shown[0] == pod(story, 0)
    # When nothing happens, nothing is written
    writes = story.writes
    story.decides().decides()
    assert [attempt.pod for attempt in story.status.attempts] == shown
    assert story.writes == writes


def test_one_defect_in_all_pods_at_once_is_one_time() -> None:
    # A run on two nodes whose pods both meet a defect
    story = given_running()
    for suffix in ("abcde", "fghij"):
        assert story.condition("Failed")[0] == "False"
        for index in (0, 1):
            story.pod_runs("train", pod(story, index, suffix)).decides()
        for index in (0, 1):
            report = failed_report("boom") if index == 0 else SILENT
            if story.status.finished:
                continue  # the Job went with the run
            story.pod_ends("train", ExitCode.INTERNAL, report, pod(story, index, suffix)).decides()
        story.after(20)
    # The run fails when both meet it again
    assert story.condition("Failed") == ("True", "InternalError")
