"""The verdict about GPU memory, from the labels of real Node objects, with no more than the right to list them."""

from __future__ import annotations

import pytest
from kubernetes import client

from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.reasons import Reason
from lora_contract.report import Report
from lora_contract.status import MemoryStatus
from support.operator import StartOperator
from support.pods import PLAN, RUN_ID
from support.runs import Runs

GIB = 1 << 30
#: 36 GiB, most of it weights in 16 bit.
NEEDED = MemoryStatus(
    weights_bytes=28 * GIB,
    nf4_weights_bytes=8 * GIB,
    adapter_bytes=GIB,
    activation_bytes=4 * GIB,
    logit_bytes=2 * GIB,
    context_bytes=GIB,
    row_tokens=4096,
)
PREPARED = Report(stage="prepare", run_id=RUN_ID, plan=PLAN.model_copy(update={"memory": NEEDED}))


def make_node(api: client.ApiClient, pool: str, gib: int) -> None:
    """A node with a GPU of this size, as feature discovery labels it; `pool` keeps the tests apart."""
    labels = {"pool": pool, "nvidia.com/gpu.memory": str(gib * 1024)}
    client.CoreV1Api(api).create_node({"metadata": {"name": f"{pool}-{gib}", "labels": labels}})


@pytest.fixture
def small_pool(runs: Runs, api: client.ApiClient, namespace: str, start_operator: StartOperator) -> str:
    """A pool of nodes with a small GPU, and the run `large` that may use no other; the pool's name."""
    start_operator(READ_GPU_NODES="true")
    make_node(api, namespace, 24)
    runs.apply("large", compute__nodeSelector={"pool": namespace})
    return namespace


@pytest.mark.usefixtures("small_pool")
def test_a_run_that_fits_no_gpu_is_never_queued(runs: Runs) -> None:
    runs.pods.run("large", names.STAGE_PREPARE, PREPARED)
    status = runs.reaches("large", ConditionType.FAILED)

    assert status.error is not None
    assert status.error.code == Reason.INSUFFICIENT_GPU_MEMORY
    assert "needs about 36.0 GiB" in status.error.message
    assert status.error.hint == "Set quantization: {type: nf4, doubleQuant: true}, or use a GPU with at least 36 GiB."
    assert "train" not in runs.stages("large")


def test_a_gpu_that_came_a_moment_ago_counts(runs: Runs, api: client.ApiClient, small_pool: str) -> None:
    pod = runs.pods.appears("large", names.STAGE_PREPARE)
    make_node(api, small_pool, 80)

    runs.pods.ends(pod, PREPARED)
    plan = runs.in_phase("large", "Queued").plan
    assert runs.stages("large") == ["prepare", "train"]
    assert plan is not None
    assert plan.fits is True
