"""What a real kubelet, scheduler and admission do to runs: told on the object within seconds, with its consequence."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lora_cluster import node
from lora_cluster.commands import wait_until
from lora_contract.reasons import Reason
from lora_contract.status import LoRAFineTuneStatus
from lora_demo.run import Run, is_complete
from support.nodes import answers, kill_node, node_of
from support.tiny_cluster import (
    STEP_SECONDS,
    TOLD_SECONDS,
    TRAINED_SECONDS,
    TinyCluster,
    at_step,
    has_reason,
    ready,
    train_attempts,
    wait_status,
)

LONG = {"training.maxSteps": 4000, "training.saveSteps": 500}
#: What a run with a reason that goes away by itself ends with.
SHORT = {"training.maxSteps": 2}


def told_within(run: Run, reason: str, since: float, seconds: float = TOLD_SECONDS) -> LoRAFineTuneStatus:
    """Wait for a reason; it must be told within so many seconds of `since` (monotonic)."""
    status = wait_status(run, reason, lambda status: ready(status)[0] == reason)
    assert time.monotonic() - since <= seconds
    return status


# ---- before a pod runs


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"storage": {"secretName": "absent"}}, Reason.SECRET_MISSING, 'secret "absent" not found'),
        ({"storage": {"serviceAccountName": "absent"}}, Reason.SERVICE_ACCOUNT_MISSING, "absent"),
        ({"model.cache": {"claimName": "absent"}}, Reason.VOLUME_MISSING, 'persistentvolumeclaim "absent" not found'),
    ],
    ids=["Secret", "ServiceAccount", "PersistentVolumeClaim"],
)
def test_a_missing_object_is_named(place: TinyCluster, changes: dict[str, Any], reason: str, words: str) -> None:
    began = time.monotonic()
    run = place.create("lacks", changes)

    status = told_within(run, reason, began)

    assert words in ready(status)[1]
    place.delete(run)


def test_a_service_account_that_comes_later_needs_no_action_on_the_run(place: TinyCluster) -> None:
    where = f"--namespace={place.namespace}"
    run = place.create("late-account", {"storage": {"serviceAccountName": "late"}})
    wait_status(run, "the reason", has_reason(Reason.SERVICE_ACCOUNT_MISSING))

    place.kubernetes.run("create", "serviceaccount", "late", where)

    wait_status(run, "its pod", lambda status: ready(status)[0] != Reason.SERVICE_ACCOUNT_MISSING)
    place.delete(run)
    place.kubernetes.run("delete", "serviceaccount", "late", where)


@pytest.fixture
def no_room_for_pods(place: TinyCluster) -> Iterator[Callable[[], None]]:
    """A ResourceQuota that has no room for a pod, and a way to remove it."""
    where = f"--namespace={place.namespace}"
    place.kubernetes.run("create", "quota", "full", "--hard=count/pods=0", where)

    def remove() -> None:
        place.kubernetes.run("delete", "quota", "full", where, "--ignore-not-found")

    yield remove
    remove()


def test_a_full_quota_is_quoted_and_waited_for(place: TinyCluster, no_room_for_pods: Callable[[], None]) -> None:
    began = time.monotonic()
    run = place.create("over-quota")
    status = told_within(run, Reason.QUOTA_EXCEEDED, began)
    assert "exceeded quota: full" in ready(status)[1]

    no_room_for_pods()

    wait_status(run, "its pod", lambda status: ready(status)[0] != Reason.QUOTA_EXCEEDED)
    place.delete(run)


def test_a_refusal_by_policy_is_quoted(place: TinyCluster) -> None:
    place.kubernetes.make_namespace("windows-only", enforce="")
    place.kubernetes.apply(_refusing_policy("windows-only"))
    place.platform.storage.give_access("windows-only")
    elsewhere = TinyCluster(place.name, place.platform, "windows-only")
    began = time.monotonic()
    run = elsewhere.create("refused")

    status = told_within(run, Reason.ADMISSION_DENIED, began, TOLD_SECONDS * 2)  # a policy takes effect with a delay

    assert "only pods of Windows" in ready(status)[1]
    elsewhere.delete(run)
    place.kubernetes.delete_namespace("windows-only")


def test_an_image_that_is_not_there_is_named(place: TinyCluster) -> None:
    place.install_operator({"prepareImage": {"repository": "localhost/absent", "tag": "1"}})
    try:
        began = time.monotonic()
        run = place.create("no-image")
        status = told_within(run, Reason.IMAGE_PULL_FAILED, began)
        assert "localhost/absent:1" in ready(status)[1]
        place.delete(run)
    finally:
        place.install_operator()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"compute.gpus": 16, "training.effectiveBatchSize": 16}, "Insufficient nvidia.com/gpu"),
        ({"compute.nodeSelector": {"accelerator": "a100"}}, "didn't match Pod's node affinity/selector"),
    ],
    ids=["GPU count", "selector"],
)
def test_the_schedulers_words_are_quoted(place: TinyCluster, changes: dict[str, Any], words: str) -> None:
    run = place.create("no-node", changes)
    wait_status(run, "the end of prepare", lambda status: status.plan is not None)

    status = told_within(run, Reason.UNSCHEDULABLE, time.monotonic())

    assert words in ready(status)[1]
    place.delete(run)


# ---- while a pod runs


def test_a_pod_that_needs_more_memory_than_it_has_ends_as_such(place: TinyCluster) -> None:
    run = place.create("hungry", {"compute.memory": "150Mi", "retries": 0})

    status = run.wait_finished(TRAINED_SECONDS)

    assert status.error is not None
    assert status.error.code == Reason.OOM_KILLED
    assert "compute.memory" in (status.error.hint or "")


def test_a_drained_pod_saves_its_work_and_goes_on(place: TinyCluster) -> None:
    run = place.create("drained", LONG | {"retries": 0})
    wait_status(run, "step 20", at_step(20), TRAINED_SECONDS)
    began = time.monotonic()
    _evict(place, place.train_pod(run))

    status = wait_status(run, "the end of the pod", lambda status: train_attempts(status)[0].end_time is not None)

    assert time.monotonic() - began <= TOLD_SECONDS
    assert (train_attempts(status)[0].reason, train_attempts(status)[0].exit_code) == (Reason.EVICTED, 75)
    status = run.wait_finished(TRAINED_SECONDS)
    assert is_complete(status), status.error
    assert status.usage is not None
    assert status.usage.lost_steps == 0


def test_a_job_and_a_pod_deleted_by_hand_come_back(place: TinyCluster) -> None:
    run = place.create("meddled", LONG)
    wait_status(run, "step 20", at_step(20), TRAINED_SECONDS)
    where = f"--namespace={place.namespace}"
    place.kubernetes.run("delete", "pod", place.train_pod(run), where, "--wait=false")
    status = wait_status(run, "a second pod", lambda status: len(train_attempts(status)) == 2, TRAINED_SECONDS)
    assert train_attempts(status)[0].reason == Reason.POD_DELETED
    wait_status(run, "training", has_reason(Reason.TRAINING))

    (job,) = run.train_jobs()
    place.kubernetes.run("delete", "job", job["metadata"]["name"], where, "--wait=false")
    status = wait_status(run, "a third pod", lambda status: len(train_attempts(status)) == 3, TRAINED_SECONDS)
    assert train_attempts(status)[1].reason == Reason.JOB_DELETED
    place.delete(run)


def test_a_lost_node_is_told_and_the_run_goes_on_elsewhere(place: TinyCluster) -> None:
    # A run on the second node
    node.set_gpus(node_of(place, 1), 0)
    run = place.create("on-a-lost-node", {"training.maxSteps": 20000, "training.saveSteps": 200})
    wait_status(run, "step 400", at_step(400), TRAINED_SECONDS)
    assert train_attempts(run.status())[0].node == "node2"
    # The kubelet, containerd and every process of its pods are gone
    kill_node(node_of(place, 2))
    node.set_gpus(node_of(place, 1), 1)
    wait_until("the cluster notices", lambda: not answers(place, "node2"), timeout=STEP_SECONDS)
    status = told_within(run, Reason.NODE_LOST, time.monotonic())
    assert "node2" in ready(status)[1]
    # Another node takes over: a minute's toleration, the grace period, and what the operator adds
    status = wait_status(run, "a second pod", lambda status: len(train_attempts(status)) == 2, 480)
    first, second = train_attempts(status)
    assert first.reason == Reason.NODE_LOST
    assert second.node == "node1"
    # The pod on the dead node stays an object until that node is removed; the run goes with the cluster.


def _evict(place: TinyCluster, pod: str) -> None:
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": place.namespace},
    }
    path = f"/api/v1/namespaces/{place.namespace}/pods/{pod}/eviction"
    place.kubernetes.run("create", f"--raw={path}", "--filename=-", stdin=json.dumps(body))


def _refusing_policy(namespace: str) -> list[dict[str, Any]]:
    """A policy that refuses our pods in one namespace."""
    api = "admissionregistration.k8s.io/v1"
    expression = "has(object.spec.os) && object.spec.os.name == 'windows'"
    return [
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "windows-only"},
            "spec": {
                "matchConstraints": {
                    "resourceRules": [
                        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                    ]
                },
                "validations": [{"expression": expression, "message": "only pods of Windows may run here"}],
            },
        },
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "windows-only"},
            "spec": {
                "policyName": "windows-only",
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
            },
        },
    ]
