"""Pods that a real ResourceQuota or LimitRange refuses: within a minute the status names what to set."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client

from lora_contract.conditions import ConditionType
from support.api_server import eventually
from support.runs import Runs

pytestmark = pytest.mark.usefixtures("running_operator")


def ready_message(runs: Runs) -> str:
    ready = runs.status("triage").condition(ConditionType.READY)
    return ready.message if ready is not None else ""


def quota(**hard: str) -> dict[str, Any]:
    """A ResourceQuota of some resources, with their amounts."""
    return {"metadata": {"name": "compute"}, "spec": {"hard": {k.replace("__", "."): v for k, v in hard.items()}}}


def limit_range(**bounds: dict[str, str]) -> dict[str, Any]:
    """A LimitRange for containers."""
    return {"metadata": {"name": "containers"}, "spec": {"limits": [{"type": "Container"} | bounds]}}


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (quota(limits__cpu="8"), "set trainer.prepare.cpuLimit of the chart"),
        (quota(requests__cpu="100m"), "the quota never gives more than 100m cpu, so waiting is in vain"),
        (limit_range(max={"memory": "1Gi"}), "lower trainer.prepare.memory of the chart"),
        (limit_range(default={"cpu": "100m"}, defaultRequest={"cpu": "50m"}), "set trainer.prepare.cpuLimit"),
        (limit_range(maxLimitRequestRatio={"cpu": "2"}), "set trainer.prepare.cpuLimit"),
    ],
    ids=["quota on limits", "quota that is too small", "maximum", "default below the request", "ratio"],
)
def test_the_status_names_what_to_set(
    runs: Runs, api: client.ApiClient, namespace: str, rule: dict[str, Any], says: str
) -> None:
    core = client.CoreV1Api(api)
    if "hard" in rule["spec"]:
        core.create_namespaced_resource_quota(namespace, rule)
        eventually(
            "the quota is known",
            lambda: core.read_namespaced_resource_quota("compute", namespace).status.hard is not None,
        )
    else:
        core.create_namespaced_limit_range(namespace, rule)

    runs.apply("triage")

    eventually("the status names it", lambda: says in ready_message(runs))
    assert "forbidden" in ready_message(runs) or "must be" in ready_message(runs), "the API server's words stay"
