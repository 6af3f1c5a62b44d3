"""A tenant with `edit` in one namespace and `view` in another forges what the other's runs and sweeps are made of.

The garbage collector deletes objects whose owner is of another namespace. It takes its time, and a finalizer keeps
them for as long as the attacker likes, as here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.report import Report
from lora_contract.status import MetricsStatus
from lora_contract.sweep import TrialPhase
from support import api_server, operator
from support.api_server import eventually, manifest
from support.cached import owned
from support.kubelet import kubelet
from support.pods import ARTIFACT, ended, prepared, run_id_of, trained
from support.runs import Runs
from support.specs import changed
from support.sweeps import Sweeps, sweep

FORGED = ARTIFACT.model_copy(update={"uri": f"s3://mallory/triage/{run_id_of('triage')}"})
LOSSES = {"rates-00": "0.9", "rates-01": "0.5", "rates-02": "0.7", "rates-03": "0.6"}


@dataclass(frozen=True)
class Attacker:
    """Who may do anything in a namespace of their own."""

    runs: Runs

    def makes(self, body: Any, *, owner: list[dict[str, Any]]) -> dict[str, Any]:
        """A copy of an object of another namespace, under the same name, labels and owner, that stays."""
        copied: dict[str, Any] = self.runs.api.sanitize_for_serialization(body)
        metadata = copied["metadata"]
        return copied | {
            "metadata": {
                "name": metadata["name"],
                "labels": metadata.get("labels", {}),
                "annotations": metadata.get("annotations", {}),
                "ownerReferences": owner,
                "finalizers": ["example.org/stays"],
            },
            "status": None,
        }

    def pod(self, victim: client.V1Pod, report: Report) -> None:
        """A pod that the victim's Job seems to control, and that ended well with words of the attacker's choice."""
        job = victim.metadata.owner_references[0]
        body = self.makes(victim, owner=owned("Job", "batch/v1", job.name, job.uid))
        body["metadata"]["name"] += "-later"
        body["spec"] = {"containers": [{"name": names.CONTAINER, "image": "trainer"}]}
        core = client.CoreV1Api(self.runs.api)
        core.create_namespaced_pod(self.runs.namespace, body)
        core.patch_namespaced_pod_status(body["metadata"]["name"], self.runs.namespace, ended(report, 0))

    def job(self, victim: client.V1Job, name: str, stage: str) -> None:
        """A Job that the victim's run seems to control, under a name that the run will need."""
        run = victim.metadata.owner_references[0]
        body = self.makes(victim, owner=owned(names.KIND, names.API_VERSION, run.name, run.uid))
        body["metadata"]["name"] = name
        body["metadata"]["labels"][names.LABEL_STAGE] = stage
        body["spec"] = {
            "template": {
                "spec": {"restartPolicy": "Never", "containers": [{"name": names.CONTAINER, "image": "trainer"}]}
            }
        }
        client.BatchV1Api(self.runs.api).create_namespaced_job(self.runs.namespace, body)

    def trial(self, sweep_uid: str, name: str) -> None:
        """A run that the victim's sweep seems to control, and that is better than all its trials."""
        body = manifest(name, changed({}))
        body["metadata"] |= {
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_SWEEP: "rates"},
            "ownerReferences": owned(names.SWEEP_KIND, names.API_VERSION, "rates", sweep_uid),
            "finalizers": ["example.org/stays"],
        }
        where = (names.GROUP, names.VERSION, self.runs.namespace, names.PLURAL)
        objects = client.CustomObjectsApi(self.runs.api)
        objects.create_namespaced_custom_object(*where, body)
        status = {
            "phase": "Complete",
            "artifact": FORGED.model_dump(mode="json", by_alias=True, exclude_none=True),
            "metrics": {"bestEvalLoss": "0.0001"},
        }
        objects.patch_namespaced_custom_object_status(*where, name, {"status": status})


@pytest.fixture
def attacker(api: client.ApiClient, namespace: str, operator_kubeconfig: Path, tmp_path: Path) -> Iterator[Attacker]:
    """An attacker's namespace; one operator looks after it and the victim's."""
    other = api_server.make_namespace(api)
    with operator.operators(operator_kubeconfig, tmp_path, f"{namespace},{other}") as start:
        start()
        yield Attacker(Runs(api, other))


def train_job_name(runs: Runs, name: str) -> str:
    """The name of the train Job that a run will have: whoever may view it can compute it."""
    run = runs.finetunes.get(name)
    return names.job_name(
        name, names.STAGE_TRAIN, uid=run["metadata"]["uid"], spec_hash=run["status"]["specHash"], run_token=""
    )


def test_forged_jobs_and_pods_of_another_namespace_change_nothing(runs: Runs, attacker: Attacker) -> None:
    runs.apply("triage")
    prepare = runs.pods.appears("triage", names.STAGE_PREPARE)
    runs.in_phase("triage", "Preparing")
    (job,) = runs.jobs("triage")
    attacker.pod(prepare, prepared().model_copy(update={"adopted": True, "artifact": FORGED}))
    attacker.job(job, train_job_name(runs, "triage"), names.STAGE_TRAIN)

    runs.pods.starts(prepare)
    runs.pods.ends(prepare, prepared())
    train = runs.pods.appears("triage", names.STAGE_TRAIN)
    attacker.pod(train, trained().model_copy(update={"artifact": FORGED}))
    runs.pods.starts(train)
    runs.pods.ends(train, trained())
    status = runs.reaches("triage", ConditionType.COMPLETE)

    assert status.artifact == ARTIFACT
    assert [(attempt.pod, attempt.exit_code) for attempt in status.attempts] == [(train.metadata.name, 0)]
    assert runs.stages("triage") == ["prepare", "train"]


def test_a_forged_trial_of_another_namespace_is_not_promoted(runs: Runs, sweeps: Sweeps, attacker: Attacker) -> None:
    def script(run: str, stage: str) -> Report:
        if stage == names.STAGE_PREPARE:
            return prepared(run)
        return trained().model_copy(update={"metrics": MetricsStatus(best_eval_loss=LOSSES[run])})

    sweeps.create("rates", sweep())
    sweeps.trial_is("rates-01", TrialPhase.PREPARING)
    attacker.trial(sweeps.get("rates")["metadata"]["uid"], "rates-03")
    with kubelet(runs.pods, script):
        status = sweeps.reaches("rates", ConditionType.COMPLETE, seconds=120)

    assert status.best is not None
    assert (status.best.trial, status.best.artifact) == ("rates-01", ARTIFACT)
    assert runs.stages("rates-03") == ["prepare", "train"]


def test_a_run_waits_for_no_run_of_another_namespace_whatever_that_says_of_itself(
    runs: Runs, attacker: Attacker
) -> None:
    attacker.runs.apply("greedy")
    attacker.runs.pods.run("greedy", names.STAGE_PREPARE, prepared("triage"))
    attacker.runs.pods.starts(attacker.runs.pods.appears("greedy", names.STAGE_TRAIN))
    attacker.runs.in_phase("greedy", "Running")

    runs.apply("triage")
    runs.completes("triage")

    assert runs.status("triage").run_id == attacker.runs.status("greedy").run_id
    eventually("the other goes on", lambda: attacker.runs.status("greedy").phase == "Running")
