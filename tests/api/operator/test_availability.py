"""Two replicas, an API server that is away, a Lease that changes hands, Kueue that comes later."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from lora_cluster.control_plane import ControlPlane
from lora_cluster.processes import Daemon, stop
from lora_contract import names
from lora_contract.conditions import ConditionType
from support import api_server, operator
from support.api_server import eventually, make_namespace
from support.kueue_crd import WORKLOAD_CRD
from support.operator import Operator, StartOperator
from support.pods import prepared, trained
from support.runs import Runs


def holder(api: client.ApiClient, name: str) -> str | None:
    try:
        lease = client.CoordinationV1Api(api).read_namespaced_lease(name, operator.ACCOUNT_NAMESPACE)
    except client.ApiException:
        return None
    held_by: str | None = lease.spec.holder_identity
    return held_by


def start_replicas(start_operator: StartOperator, lease: str) -> tuple[Operator, Operator]:
    settings = {"LEASE_NAMESPACE": operator.ACCOUNT_NAMESPACE, "LEASE_NAME": lease}
    first = start_operator(**settings)
    eventually("one replica leads", lambda: first.metric("lora_operator_leader") == 1)
    return first, start_operator(**settings)


def test_of_two_replicas_one_acts_and_the_other_follows_at_once_when_it_is_stopped(
    api: client.ApiClient, runs: Runs, start_operator: StartOperator, namespace: str
) -> None:
    leader, standby = start_replicas(start_operator, namespace)
    assert standby.metric("lora_operator_leader") == 0, "both are ready, one leads"
    runs.apply("triage")
    runs.in_phase("triage", "Preparing")
    assert standby.metric("lora_finetune_jobs_created_total") == 0

    assert leader.stop() == 0
    eventually("the other leads", lambda: standby.metric("lora_operator_leader") == 1, seconds=8)
    runs.completes("triage")


def test_a_frozen_leader_is_replaced_and_writes_nothing_when_it_wakes(
    runs: Runs, start_operator: StartOperator, namespace: str
) -> None:
    leader, standby = start_replicas(start_operator, namespace)
    os.kill(leader.pid, signal.SIGSTOP)
    runs.apply("triage")
    eventually("the other leads", lambda: standby.metric("lora_operator_leader") == 1, seconds=30)
    runs.in_phase("triage", "Preparing")

    os.kill(leader.pid, signal.SIGCONT)
    eventually("it knows that it leads no more", lambda: leader.metric("lora_operator_leader") == 0)
    runs.completes("triage")
    assert leader.metric("lora_finetune_jobs_created_total") == 0
    assert leader.metric("lora_operator_status_writes_total") == 0


@pytest.fixture
def own_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane that a test may end."""
    with api_server.running(tmp_path / "plane") as plane:
        yield plane


def test_a_long_outage_of_the_api_server_ends_nothing(own_plane: ControlPlane, tmp_path: Path) -> None:
    api = api_server.connect(own_plane)
    operator.install(api)
    kubeconfig = operator.write_kubeconfig(api, own_plane, tmp_path / "kubeconfig")
    namespace = make_namespace(api)
    runs = Runs(api, namespace)
    with operator.operators(kubeconfig, tmp_path, namespace) as start_operator:
        running = start_operator()
        runs.apply("triage")
        runs.pods.run("triage", names.STAGE_PREPARE, prepared())
        pod = runs.pods.appears("triage", names.STAGE_TRAIN)

        components = ("kube-controller-manager", "kube-apiserver", "etcd")
        stop([Daemon(own_plane.directory, program) for program in components])
        eventually("its requests fail", lambda: failures(running) >= 2, seconds=90)
        assert running.get("/healthz")[0] == 200, "a restart would not help"

        own_plane.start_api_server()
        own_plane.wait_ready()
        own_plane.start_controllers(scheduler=False)
        runs.pods.starts(pod)
        runs.pods.ends(pod, trained())
        runs.reaches("triage", ConditionType.COMPLETE)
        assert running.running


@pytest.mark.parametrize("stage", ["prepare", "train"])
def test_a_deleted_run_leaves_nothing_behind(runs: Runs, start_operator: StartOperator, stage: str) -> None:
    running = start_operator()
    runs.apply("triage")
    if stage == "train":
        runs.pods.run("triage", names.STAGE_PREPARE, prepared())
    runs.pods.starts(runs.pods.appears("triage", stage))
    running.kill()  # nothing depends on it: owner references do the work

    runs.finetunes.delete("triage")
    eventually("its Jobs are gone", lambda: runs.jobs("triage") == [])
    eventually("its pods are gone", lambda: runs.pods.all("triage", stage) == [])


def failures(running: Operator) -> int:
    lines = running.get("/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if 'code="unreachable"' in line and "_total" in line)  # type: ignore[return-value]


def test_the_watches_need_no_user_name(runs: Runs, start_operator: StartOperator) -> None:
    # An operator as in a pod, where the user id has no name
    running = start_operator()
    runs.apply("triage")
    # The watches tell of the run, and were started once
    eventually("an event", lambda: running.metric("lora_operator_last_event_timestamp_seconds") > 0)
    assert running.metric("lora_operator_watch_starts_total") == 1


def test_kueue_may_be_installed_later(
    api: client.ApiClient, runs: Runs, start_operator: StartOperator, namespace: str
) -> None:
    running = start_operator()
    extensions = client.ApiextensionsV1Api(api)
    extensions.create_custom_resource_definition(WORKLOAD_CRD)
    try:
        eventually("the watches start anew", lambda: running.metric("lora_operator_watch_starts_total") == 2)
        runs.apply("triage", scheduling__queueName="team-a")
        runs.pods.run("triage", names.STAGE_PREPARE, prepared())
        runs.in_phase("triage", "Queued")
        job = next(job for job in runs.jobs("triage") if job.metadata.labels[names.LABEL_STAGE] == names.STAGE_TRAIN)
        client.CustomObjectsApi(api).create_namespaced_custom_object(
            "kueue.x-k8s.io", "v1beta2", namespace, "workloads", workload_of(job)
        )
        runs.patch("triage", {"suspend": True})
        eventually("its Workload is switched off", lambda: not workload(api, namespace)["spec"]["active"])
    finally:
        extensions.delete_custom_resource_definition("workloads.kueue.x-k8s.io")
    eventually("the watches start anew", lambda: running.metric("lora_operator_watch_starts_total") >= 3)


def workload(api: client.ApiClient, namespace: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = client.CustomObjectsApi(api).get_namespaced_custom_object(
        "kueue.x-k8s.io", "v1beta2", namespace, "workloads", "job-triage"
    )
    return found


def workload_of(job: client.V1Job) -> dict[str, object]:
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job.metadata.name,
        "uid": job.metadata.uid,
        "controller": True,
    }
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {
            "name": "job-triage",
            "labels": {"kueue.x-k8s.io/job-uid": job.metadata.uid},
            "ownerReferences": [owner],
        },
        "spec": {"active": True, "queueName": "team-a"},
    }
