"""The life of a run, seen from outside: one YAML in, Jobs and status out."""

from __future__ import annotations

import pytest
from kubernetes import client

from lora_cluster.kubectl import Kubectl
from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.exit_codes import ExitCode
from lora_contract.reasons import Reason
from support.api_server import eventually
from support.pods import ARTIFACT, RUN_ID, adopted, checked, failed, prepared, trained
from support.runs import Runs

pytestmark = pytest.mark.usefixtures("running_operator")


def test_a_run_goes_from_one_yaml_to_an_adapter(runs: Runs) -> None:
    runs.apply("triage")
    runs.in_phase("triage", "Preparing")
    assert runs.stages("triage") == ["prepare"], "no GPU is asked for before the data was checked"

    runs.pods.run("triage", names.STAGE_PREPARE, prepared())
    pod = runs.pods.appears("triage", names.STAGE_TRAIN)
    runs.pods.starts(pod)
    status = runs.in_phase("triage", "Running")
    assert status.run_id == RUN_ID
    assert status.plan is not None
    assert status.plan.total_steps == 40

    runs.pods.ends(pod, trained())
    status = runs.reaches("triage", ConditionType.COMPLETE)
    assert status.artifact == ARTIFACT
    assert status.phase == "Complete"
    assert [attempt.exit_code for attempt in status.attempts if attempt.stage == "train"] == [0]
    eventually("an Event tells of it", lambda: ("Normal", Reason.ADAPTER_PUBLISHED) in runs.events("triage"))
    assert len(runs.events("triage")) == len(set(runs.events("triage"))), "each transition is told once"


def test_an_adapter_that_exists_is_adopted_without_a_train_job(runs: Runs) -> None:
    runs.apply("triage")
    runs.pods.run("triage", names.STAGE_PREPARE, adopted())
    status = runs.reaches("triage", ConditionType.COMPLETE)
    assert status.condition(ConditionType.COMPLETE).reason == Reason.ADOPTED_EXISTING_ARTIFACT  # type: ignore[union-attr]
    assert "train" not in runs.stages("triage")


def test_bad_data_fails_the_run_with_the_words_of_the_pod_and_without_a_train_job(runs: Runs) -> None:
    runs.apply("triage")
    report = failed("prepare", "triage.jsonl line 7: not JSON", hint="Mend line 7 and apply the run under a new name.")
    runs.pods.run("triage", names.STAGE_PREPARE, report, ExitCode.BAD_DATA)
    status = runs.reaches("triage", ConditionType.FAILED)
    assert status.error is not None
    assert (status.error.code, status.error.message) == (Reason.BAD_DATA, "triage.jsonl line 7: not JSON")
    assert "train" not in runs.stages("triage")


def test_a_train_pod_is_started_again_until_the_retries_are_used_up(runs: Runs) -> None:
    runs.apply("triage", retries=1)
    runs.pods.run("triage", names.STAGE_PREPARE, prepared())
    for _ in range(2):
        runs.pods.run("triage", names.STAGE_TRAIN, failed("train", "S3 is away"), ExitCode.UNAVAILABLE)
    status = runs.reaches("triage", ConditionType.FAILED)
    assert status.error is not None
    assert status.error.code == Reason.RETRIES_EXHAUSTED
    train = [attempt for attempt in status.attempts if attempt.stage == "train"]
    assert [attempt.reason for attempt in train] == [Reason.UNAVAILABLE, Reason.UNAVAILABLE]


def test_a_suspended_run_gives_its_pod_back_and_goes_on_later(runs: Runs) -> None:
    runs.apply("triage")
    runs.pods.run("triage", names.STAGE_PREPARE, prepared())
    first = runs.pods.appears("triage", names.STAGE_TRAIN)
    runs.pods.starts(first)
    runs.in_phase("triage", "Running")

    runs.patch("triage", {"suspend": True})
    runs.in_phase("triage", "Suspended")
    eventually("its pod is gone", lambda: not runs.pods.all("triage", names.STAGE_TRAIN))

    runs.patch("triage", {"suspend": False})
    second = runs.pods.run("triage", names.STAGE_TRAIN, trained())
    runs.reaches("triage", ConditionType.COMPLETE)
    assert second.metadata.uid != first.metadata.uid


def test_a_finished_run_is_never_started_again(runs: Runs) -> None:
    runs.apply("triage")
    runs.completes("triage")
    before = {job.metadata.uid for job in runs.jobs("triage")}
    runs.patch("triage", {"retries": 7})
    eventually("the change is noticed", lambda: runs.status("triage").observed_generation == 2)
    assert {job.metadata.uid for job in runs.jobs("triage")} == before
    assert runs.status("triage").phase == "Complete"


def test_another_run_token_runs_again_on_purpose(runs: Runs) -> None:
    runs.apply("triage")
    runs.completes("triage")
    runs.patch("triage", {"runToken": "again"})
    runs.in_phase("triage", "Preparing")
    assert runs.completes("triage").run_token == "again"


def test_a_finished_run_tells_that_its_data_changed_when_it_is_asked(runs: Runs) -> None:
    runs.apply("triage")
    runs.completes("triage")
    runs.patch("triage", {"checkToken": "1"})
    runs.pods.run("triage", names.STAGE_CHECK, checked(drifted=True))
    status = runs.reaches("triage", ConditionType.INPUTS_DRIFTED)
    assert status.phase == "Complete"
    assert runs.stages("triage") == ["check", "prepare", "train"]
    eventually("an Event tells of it", lambda: ("Warning", Reason.DATASET_CHANGED) in runs.events("triage"))


def test_who_waits_for_the_end_hears_of_a_spec_that_is_refused(runs: Runs, kubectl: Kubectl, namespace: str) -> None:
    runs.apply("triage", storage={"endpoint": "https://elsewhere.example"})

    kubectl.run("wait", "--for=condition=Finished", "lft/triage", f"--namespace={namespace}", "--timeout=60s")

    status = runs.reaches("triage", ConditionType.FAILED)
    assert status.error is not None
    assert (status.phase, status.error.code) == ("Failed", Reason.ENDPOINT_NOT_ALLOWED)
    assert status.observed_generation == 1


def test_a_name_that_another_job_has_is_told_and_taken_once_it_is_free(
    runs: Runs, api: client.ApiClient, namespace: str
) -> None:
    runs.apply("triage", suspend=True)
    status = runs.reaches("triage", ConditionType.SUSPENDED)
    uid = runs.finetunes.get("triage")["metadata"]["uid"]
    name = names.job_name("triage", "prepare", uid=uid, spec_hash=status.spec_hash or "", run_token="")
    jobs = client.BatchV1Api(api)
    container = {"name": "x", "image": "x"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    jobs.create_namespaced_job(namespace, {"metadata": {"name": name}, "spec": {"template": template}})

    runs.patch("triage", {"suspend": False})
    eventually("it says who has the name", lambda: runs.is_because("triage", Reason.NAME_TAKEN))

    jobs.delete_namespaced_job(name, namespace, propagation_policy="Background")
    runs.in_phase("triage", "Preparing")


def test_an_edit_before_the_pod_starts_makes_the_train_job_anew(runs: Runs) -> None:
    runs.apply("triage")
    runs.pods.run("triage", names.STAGE_PREPARE, prepared())
    runs.pods.appears("triage", names.STAGE_TRAIN)

    runs.patch("triage", {"compute": {"memory": "64Gi"}})

    def asked_for() -> set[str]:
        train = [job for job in runs.jobs("triage") if job.metadata.labels[names.LABEL_STAGE] == names.STAGE_TRAIN]
        return {job.spec.template.spec.containers[0].resources.limits["memory"] for job in train}

    eventually("the Job asks for what was edited", lambda: asked_for() == {"64Gi"})
    runs.in_phase("triage", "Queued")
    assert ("Warning", Reason.JOB_DELETED) not in runs.events("triage")
