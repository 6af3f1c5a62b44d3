"""Pods as a platform wants them: the real API server takes what the operator makes of its settings."""

from __future__ import annotations

import json

import pytest

from lora_cluster.kubectl import Kubectl
from lora_contract import names
from lora_contract.conditions import ConditionType
from support.api_server import as_yaml, eventually
from support.operator import StartOperator
from support.pods import prepared
from support.runs import Runs

CLASSES = (
    {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "run-pods"}, "value": 1000},
    {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"},
)
POOL = {"key": "pool", "operator": "In", "values": ["gpu"]}
TRAIN = {
    "runtimeClassName": "nvidia",
    "priorityClassName": "run-pods",
    "tolerations": [{"key": "pool", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [POOL]}]}
        }
    },
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {names.LABEL_MANAGED_BY: names.MANAGED_BY}},
        }
    ],
}


@pytest.fixture(autouse=True)
def classes(kubectl: Kubectl) -> None:
    """The classes that the platform's settings name."""
    kubectl.apply_text(as_yaml(*CLASSES))


def test_pods_have_what_the_platform_adds(runs: Runs, start_operator: StartOperator) -> None:
    start_operator(
        TRAIN_POD_SPEC=json.dumps(TRAIN),
        PREPARE_POD_SPEC=json.dumps({"nodeSelector": {"pool": "cpu"}}),
        EXTRA_ENV=json.dumps([{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]),
        CA_BUNDLE=json.dumps({"configMap": "corporate-ca"}),
        POD_LABELS=json.dumps({"sidecar.istio.io/inject": "false"}),
    )
    runs.apply("triage")
    pod = runs.pods.appears("triage", names.STAGE_PREPARE)
    assert pod.spec.node_selector == {"pool": "cpu"}
    assert pod.spec.runtime_class_name is None

    runs.pods.run("triage", names.STAGE_PREPARE, prepared())
    pod = runs.pods.appears("triage", names.STAGE_TRAIN)
    assert pod.spec.runtime_class_name == "nvidia"
    assert pod.spec.priority == 1000, "the API server knows the class"
    assert pod.spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution is not None
    assert pod.spec.topology_spread_constraints[0].topology_key == "topology.kubernetes.io/zone"
    assert "pool" in {toleration.key for toleration in pod.spec.tolerations}
    assert pod.metadata.labels["sidecar.istio.io/inject"] == "false"
    assert {"HTTPS_PROXY", "SSL_CERT_FILE"} <= {variable.name for variable in pod.spec.containers[0].env}
    assert "corporate-ca" in {volume.config_map.name for volume in pod.spec.volumes if volume.config_map}


@pytest.mark.parametrize("field", ["priorityClassName", "runtimeClassName"])
def test_a_class_that_does_not_exist_is_told_by_its_name(runs: Runs, start_operator: StartOperator, field: str) -> None:
    start_operator(PREPARE_POD_SPEC=json.dumps({field: "mistyped"}))
    runs.apply("triage")

    eventually("the refusal is told", lambda: runs.is_because("triage", "AdmissionDenied"))
    ready = runs.status("triage").condition(ConditionType.READY)
    assert ready is not None
    assert "mistyped" in ready.message


def test_authorities_that_are_missing_in_the_namespace_are_told_by_their_name(
    runs: Runs, kubectl: Kubectl, start_operator: StartOperator, namespace: str
) -> None:
    start_operator(CA_BUNDLE=json.dumps({"configMap": "corporate-ca"}))
    runs.apply("triage")
    pod = runs.pods.appears("triage", names.STAGE_PREPARE)
    # What the kubelet says of it: the container waits, and an Event has the cause
    words = 'MountVolume.SetUp failed for volume "ca-bundle" : configmap "corporate-ca" not found'
    runs.pods.waits(pod, "ContainerCreating")
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "mount", "namespace": namespace},
             "involvedObject": {"kind": "Pod", "name": pod.metadata.name, "namespace": namespace},
             "type": "Warning", "reason": "FailedMount", "message": words,
             "lastTimestamp": "2026-01-02T03:04:05Z"}  # fmt: skip
    kubectl.apply_text(as_yaml(event))

    eventually("the volume is told", lambda: runs.is_because("triage", "VolumeMissing"))
    ready = runs.status("triage").condition(ConditionType.READY)
    assert ready is not None
    assert words in ready.message
    assert "trainer.caBundle" in ready.message
