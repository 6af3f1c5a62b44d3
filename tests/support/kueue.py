"""Queues of Kueue for tests: one GPU of quota, two priorities, and Jobs that take the quota."""

from __future__ import annotations

from typing import Any

from lora_cluster import cluster
from lora_cluster.commands import wait_until
from lora_cluster.errors import ClusterError
from support.tiny_cluster import NODES, STEP_SECONDS, TinyCluster

QUEUE = "team"
STOPPED_QUEUE = "stopped"
LOW, HIGH = "low", "high"
QUEUED: dict[str, Any] = {"scheduling.queueName": QUEUE, "scheduling.priorityClass": LOW}
_API = "kueue.x-k8s.io/v1beta2"
_LABEL = "kueue.x-k8s.io"


def install(place: TinyCluster) -> None:
    """Install Kueue in a cluster that runs, and make the queues."""
    cluster.up(place.name, nodes=NODES, gpus=1, kueue=True)
    wait_until("the queues", lambda: _applied(place), timeout=STEP_SECONDS)


def installed(place: TinyCluster) -> bool:
    """Whether the cluster has Kueue already."""
    return place.kubernetes.succeeds("get", "deployment", "kueue-controller-manager", "--namespace=kueue-system")


def objects(namespace: str) -> list[dict[str, Any]]:
    """One GPU for all that wait in the LocalQueue `team`; a LocalQueue that is stopped; two priorities."""
    quotas = {"nvidia.com/gpu": 1, "cpu": 4, "memory": "8Gi"}
    flavor = {"name": "gpu", "resources": [{"name": name, "nominalQuota": quota} for name, quota in quotas.items()]}
    return [
        {"apiVersion": _API, "kind": "ResourceFlavor", "metadata": {"name": "gpu"}},
        {
            "apiVersion": _API,
            "kind": "ClusterQueue",
            "metadata": {"name": "gpus"},
            "spec": {
                "namespaceSelector": {},
                "preemption": {"withinClusterQueue": "LowerPriority"},
                "resourceGroups": [{"coveredResources": list(quotas), "flavors": [flavor]}],
            },
        },
        _local_queue(namespace, QUEUE),
        _local_queue(namespace, STOPPED_QUEUE, stopPolicy="Hold"),
        {"apiVersion": _API, "kind": "WorkloadPriorityClass", "metadata": {"name": LOW}, "value": 10},
        {"apiVersion": _API, "kind": "WorkloadPriorityClass", "metadata": {"name": HIGH}, "value": 1000},
    ]


def take_quota(place: TinyCluster, name: str, *, priority: str = LOW, seconds: int = 3600) -> None:
    """Create a Job that holds the GPU for some time, or until `give_back`."""
    container = {
        "name": "holder",
        "image": place.platform.images.prepare.name,
        "command": ["python", "-c", f"import signal, time; signal.signal(15, exit); time.sleep({seconds})"],
        "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "64Mi", "nvidia.com/gpu": "1"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    labels = {f"{_LABEL}/queue-name": QUEUE, f"{_LABEL}/priority-class": priority}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": place.namespace, "labels": labels},
        "spec": {"suspend": True, "backoffLimit": 0, "template": {"spec": pod}},
    }
    place.kubernetes.apply([job])


def give_back(place: TinyCluster, name: str) -> None:
    """Delete such a Job."""
    place.kubernetes.run("delete", "job", name, f"--namespace={place.namespace}", "--ignore-not-found")


def quota_used(place: TinyCluster) -> int:
    """GPUs of the quota that are reserved."""
    status = place.kubernetes.get("clusterqueues.kueue.x-k8s.io", "gpus").get("status") or {}
    flavors = status.get("flavorsReservation") or []
    totals = [r["total"] for flavor in flavors for r in flavor["resources"] if r["name"] == "nvidia.com/gpu"]
    return sum(int(total) for total in totals)


def _local_queue(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": _API, "kind": "LocalQueue", "metadata": metadata, "spec": {"clusterQueue": "gpus", **spec}}


def _applied(place: TinyCluster) -> bool:
    """Whether Kueue's webhooks took the objects; they answer a moment after its Deployment is available."""
    try:
        place.kubernetes.apply(objects(place.namespace))
    except ClusterError:
        return False
    return True
