"""A run on several nodes, on a real API server: one Job, several pods, one Service between them."""

from __future__ import annotations

import pytest
from kubernetes import client

from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.report import Report
from support.api_server import eventually
from support.pods import ARTIFACT, prepared, trained
from support.runs import Runs

pytestmark = pytest.mark.usefixtures("running_operator")


def test_two_pods_and_their_service_end_in_one_result(runs: Runs) -> None:
    # A run on two nodes, prepared
    runs.apply("triage", compute__nodes=2)
    runs.pods.run("triage", names.STAGE_PREPARE, prepared())
    # Its Job starts two pods with names that the Service between them resolves
    eventually("two train pods", lambda: len(runs.pods.all("triage", names.STAGE_TRAIN)) == 2)
    core = client.CoreV1Api(runs.api)
    (service,) = eventually_services(core, runs.namespace)
    pods = {pod.metadata.labels["batch.kubernetes.io/job-completion-index"]: pod for pod in train_pods(runs)}
    (job,) = (job for job in runs.jobs("triage") if job.metadata.labels[names.LABEL_STAGE] == names.STAGE_TRAIN)
    assert {pod.spec.subdomain for pod in pods.values()} == {service.metadata.name}
    assert pods["0"].spec.hostname == f"{job.metadata.name}-0"
    address = next(each.value for each in pods["1"].spec.containers[0].env if each.name == names.ENV_GROUP_ADDRESS)
    assert address == f"{pods['0'].spec.hostname}.{service.metadata.name}:{names.GROUP_PORT}"
    assert service.spec.cluster_ip == "None"
    assert [owner.uid for owner in service.metadata.owner_references] == [job.metadata.uid]
    # When both run, the run runs
    for pod in pods.values():
        runs.pods.starts(pod)
    runs.in_phase("triage", "Running")
    # When both end, the second with nothing to say, the first one's report is the result
    runs.pods.ends(pods["0"], trained())
    runs.pods.ends(pods["1"], Report(stage="train"))
    status = runs.reaches("triage", ConditionType.COMPLETE)
    assert status.artifact == ARTIFACT
    assert [attempt.pod for attempt in status.attempts if attempt.stage == "train"] == [pods["0"].metadata.name]


def train_pods(runs: Runs) -> list[client.V1Pod]:
    return runs.pods.all("triage", names.STAGE_TRAIN)


def eventually_services(core: client.CoreV1Api, namespace: str) -> list[client.V1Service]:
    selector = f"{names.LABEL_STAGE}={names.STAGE_TRAIN}"

    def found() -> list[client.V1Service]:
        return list(core.list_namespaced_service(namespace, label_selector=selector).items)

    eventually("a Service", lambda: bool(found()))
    return found()
