"""What a pod asks for and may use: CPU, memory, GPUs, disk and shared memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lora_contract.status import MemoryStatus
from support.job_manifests import container, jobs, pod
from support.pod_reports import PLAN, PREPARED
from support.run_story import given_finetune


def size_limits(job: dict[str, Any]) -> dict[str, str | None]:
    return {each["name"]: each["emptyDir"].get("sizeLimit") for each in pod(job)["volumes"] if "emptyDir" in each}


def given_planned(*, weights: int, adapter: int, tokens: int, gpus: int = 1, **platform: Any) -> dict[str, Any]:
    """The train Job of a run with this plan; sizes in bytes."""
    memory = MemoryStatus(
        weights_bytes=weights,
        nf4_weights_bytes=weights,
        adapter_bytes=adapter,
        activation_bytes=0,
        logit_bytes=0,
        context_bytes=0,
        row_tokens=512,
    )
    plan = PLAN.model_copy(update={"memory": memory, "tokens": tokens})
    story = given_finetune({"compute.gpus": gpus}, **platform).decides().after(2)
    return story.stage_succeeds("prepare", PREPARED.model_copy(update={"plan": plan})).decides().job("train")


def test_disk_and_shared_memory_have_limits() -> None:
    (prepare, _), train = jobs(), given_planned(weights=1 << 30, adapter=0, tokens=0, gpus=2)

    assert size_limits(prepare) == {"scratch": "100Gi"}
    assert size_limits(train) == {"scratch": "28Gi", "shm": "2Gi"}
    # ephemeral-storage is asked for nowhere: a ClusterQueue that does not cover it would admit no run
    for job in (prepare, train):
        assert "ephemeral-storage" not in json.dumps(container(job)["resources"])


def test_the_limit_of_a_train_pods_disk_leaves_room_for_model_adapter_and_data() -> None:
    # A model of 70B parameters, which has 130 GiB of files in 16 bits, and rows of at most 16 bytes a token
    train = given_planned(weights=40 << 30, adapter=2 << 30, tokens=2 << 30)
    assert size_limits(train)["scratch"] == f"{20 + 8 * 40 + 8 * 2 + 64 * 2}Gi"


def test_a_plan_of_an_earlier_version_gives_no_limit_of_disk() -> None:
    _, train = jobs()
    assert PLAN.memory is None
    assert size_limits(train)["scratch"] is None


def test_the_platform_limits_disk_and_shared_memory() -> None:
    sizes = {"prepare_scratch": "512Mi", "train_scratch": "50Gi", "shared_memory": "256Mi"}
    requests = {"prepare_ephemeral_storage": "2Gi", "train_ephemeral_storage": "10Gi"}
    prepare, train = jobs({}, **sizes, **requests)

    assert size_limits(prepare) == {"scratch": "512Mi"}
    assert size_limits(train) == {"scratch": "50Gi", "shm": "256Mi"}
    assert container(prepare)["resources"]["requests"]["ephemeral-storage"] == "2Gi"
    assert container(prepare)["resources"]["limits"]["ephemeral-storage"] == "2Gi"
    assert container(train)["resources"]["requests"]["ephemeral-storage"] == "10Gi"
    # the limit is of all that the pod writes: scratch and the log
    assert container(train)["resources"]["limits"]["ephemeral-storage"] == "51Gi"


def test_a_platform_may_leave_the_limits_out() -> None:
    prepare, _ = jobs(prepare_scratch="")
    train = given_planned(weights=1 << 30, adapter=0, tokens=0, shared_memory="", train_scratch="")
    assert size_limits(prepare) == {"scratch": None}
    assert size_limits(train) == {"scratch": "28Gi", "shm": None}


@pytest.mark.parametrize(
    ("spec", "platform", "prepare", "train"),
    [
        ({}, {}, None, None),
        ({"compute": {"cpu": 2, "cpuLimit": 8}}, {}, None, "8"),
        ({}, {"train_cpu_limit": "6", "prepare_cpu_limit": "1"}, "1", "6"),
        ({"compute.cpu": "16"}, {"train_cpu_limit": "6"}, None, "16"),
        ({"compute": {"cpu": "500m", "cpuLimit": "1"}}, {"train_cpu_limit": "6"}, None, "1"),
    ],
)
def test_cpu_limits_are_those_of_the_run_or_the_platform_and_never_below_the_request(
    spec: dict[str, Any], platform: dict[str, Any], prepare: str | None, train: str | None
) -> None:
    limits = [container(job)["resources"]["limits"].get("cpu") for job in jobs(spec, **platform)]

    assert limits == [prepare, train]


def test_whole_numbers_become_the_text_that_a_pod_has() -> None:
    _, train = jobs({"compute": {"cpu": 4, "memory": 34359738368}})

    assert container(train)["resources"]["requests"] == {"cpu": "4", "memory": "34359738368", "nvidia.com/gpu": "1"}
