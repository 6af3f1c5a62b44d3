"""A run that fits no GPU of the cluster fails before it is queued, with what to change; the unknown is no verdict."""

from __future__ import annotations

from typing import Any

import pytest

from lora_contract.status import MemoryStatus
from lora_operator.core.run.decision import CreateJob, ReadGpuMemory
from support.pod_reports import PLAN, PREPARED
from support.run_story import Story, given_finetune

GIB = 1 << 30
LABEL = "nvidia.com/gpu.memory"
SMALL, LARGE = {LABEL: str(24 * 1024), "pool": "small"}, {LABEL: str(80 * 1024), "pool": "large"}

#: A 14-billion model in 16 bit: 28 GiB of weights, 36 GiB in all.
NEEDED = MemoryStatus(
    weights_bytes=28 * GIB,
    nf4_weights_bytes=8 * GIB,
    adapter_bytes=1 * GIB,
    activation_bytes=4 * GIB,
    logit_bytes=2 * GIB,
    context_bytes=1 * GIB,
    row_tokens=4096,
)


def prepared(
    *nodes: dict[str, str], needed: MemoryStatus | None = NEEDED, changes: dict[str, Any] | None = None, **platform: Any
) -> Story:
    """A run whose prepare pod has just ended with this estimate."""
    story = given_finetune(changes, **{"read_gpu_nodes": True, **platform})
    story.nodes = nodes
    plan = PLAN.model_copy(update={"memory": needed})
    return story.decides().after(2).stage_succeeds("prepare", PREPARED.model_copy(update={"plan": plan}))


def decided(story: Story) -> Story:
    """Decided until nothing is left to read."""
    return story.decides().decides()


def fits(story: Story) -> bool | None:
    plan = story.status.plan
    assert plan is not None
    return plan.fits


def test_a_run_that_fits_no_gpu_fails_before_it_is_queued() -> None:
    story = decided(prepared(SMALL))

    assert story.condition("Failed") == ("True", "InsufficientGPUMemory")
    assert story.stages == ["prepare"]
    assert fits(story) is False
    assert "needs about 36.0 GiB of GPU memory, and the largest GPU has 24.0 GiB" in story.message
    assert "28.0 GiB for the weights" in story.message


@pytest.mark.parametrize("compute", [{}, {"compute.gpus": 4, "compute.nodes": 2}], ids=["one GPU", "eight GPUs"])
def test_nobody_adds_gpus_to_a_run_that_is_too_large_for_each(compute: dict[str, int]) -> None:
    story = decided(prepared(SMALL, changes=compute))

    assert story.condition("Failed") == ("True", "InsufficientGPUMemory")
    assert "Each GPU holds the whole model, so more GPUs do not help." in story.message


@pytest.mark.parametrize(("method", "length"), [(None, 2048), ({"kto": {}}, 2048), ({"dpo": {}}, 1024)])
def test_a_row_that_is_to_be_shorter_may_be_a_pair_of_copies(method: dict[str, Any] | None, length: int) -> None:
    # The GPU has room for half of what the longest row takes
    needed = NEEDED.model_copy(update={"weights_bytes": 16 * GIB, "activation_bytes": 8 * GIB})
    changes = {"method": method} if method is not None else {}

    story = decided(prepared(SMALL, changes=changes, needed=needed))

    assert story.status.error is not None
    assert f"Set training.maxLength: {length}, or use" in str(story.status.error.hint)


def test_asking_the_nodes_writes_nothing() -> None:
    story = prepared(SMALL)
    writes = story.writes

    (action,) = story.decides().decisions[-1].actions

    assert action == ReadGpuMemory(LABEL, LABEL)
    assert story.writes == writes


def test_one_gpu_that_is_large_enough_is_enough() -> None:
    story = decided(prepared(SMALL, LARGE))

    assert story.stages == ["prepare", "train"]
    assert fits(story) is True


def test_only_nodes_that_the_run_may_use_count() -> None:
    story = decided(prepared(SMALL, LARGE, changes={"compute.nodeSelector": {"pool": "small"}}))

    assert story.condition("Failed") == ("True", "InsufficientGPUMemory")
    assert "the largest GPU that compute.nodeSelector matches has 24.0 GiB" in story.message


def test_only_nodes_of_the_platforms_pool_count() -> None:
    # The platform keeps train pods in a pool whose GPUs are small
    platform = {"train_pod_spec": {"nodeSelector": {"pool": "small"}}}
    story = decided(prepared(SMALL, LARGE, **platform))
    assert story.condition("Failed") == ("True", "InsufficientGPUMemory")
    assert "the largest GPU that the platform's node selector matches has 24.0 GiB" in story.message

    # A run has the last word on where it runs
    story = decided(prepared(SMALL, LARGE, changes={"compute.nodeSelector": {"pool": "large"}}, **platform))
    assert fits(story) is True


def test_a_slice_of_a_gpu_is_judged_by_its_own_label() -> None:
    slices = {LABEL: str(80 * 1024), "nvidia.com/mig-1g.10gb.memory": str(9728)}

    story = decided(prepared(slices, changes={"compute.resourceName": "nvidia.com/mig-1g.10gb"}))

    assert "has 9.5 GiB" in story.message


@pytest.mark.parametrize(
    ("nodes", "changes", "needed"),
    [
        ((), {}, NEEDED),
        (({"pool": "small"},), {}, NEEDED),
        ((SMALL,), {"compute.nodeSelector": {"pool": "scaled-up"}}, NEEDED),
        ((SMALL,), {"compute.gpus": 0}, NEEDED),
        ((SMALL,), {}, None),
    ],
    ids=["no node", "no label", "no matching node", "no GPU asked for", "no estimate"],
)
def test_what_is_not_known_is_no_verdict(
    nodes: tuple[dict[str, str], ...], changes: dict[str, Any], needed: MemoryStatus | None
) -> None:
    story = decided(prepared(*nodes, changes=changes, needed=needed))

    assert story.stages == ["prepare", "train"]
    assert fits(story) is None


def test_the_platform_may_name_the_memory_itself() -> None:
    story = prepared(SMALL, gpu_memory="80Gi").decides()

    assert story.stages == ["prepare", "train"]
    assert fits(story) is True


def test_labels_that_were_read_for_another_run_serve_this_one() -> None:
    other = decided(prepared(SMALL))
    story = prepared(SMALL)
    story.gpu_memory = other.gpu_memory

    assert story.decides().condition("Failed") == ("True", "InsufficientGPUMemory")


def test_labels_that_were_read_long_ago_are_read_again() -> None:
    story = prepared(SMALL).decides().after(60)
    story.nodes = (LARGE,)

    assert decided(story).stages == ["prepare", "train"]


def test_an_estimate_that_is_a_little_above_is_tried() -> None:
    little = NEEDED.model_copy(update={"weights_bytes": NEEDED.weights_bytes - 10 * GIB})

    assert fits(decided(prepared(SMALL, needed=little))) is True


def test_a_run_that_trained_before_is_not_judged_again() -> None:
    story = decided(prepared()).pod_runs("train").decides()
    story.nodes = (SMALL,)

    story.job_is_deleted(story.job("train")["metadata"]["name"])
    decided(story.after(60))

    assert any(isinstance(action, CreateJob) for action in story.decisions[-2].actions)


@pytest.mark.parametrize(
    ("gpu_gib", "needed", "param", "change"),
    [
        (32, {"activation_bytes": 12 * GIB, "weights_bytes": 20 * GIB}, "training.maxLength", "maxLength: 2688,"),
        (24, {}, "quantization", "Set quantization: {type: nf4, doubleQuant: true}, or"),
        (15, {"activation_bytes": 5 * GIB}, "quantization", "doubleQuant: true} and training.maxLength: 2432"),
        (8, {}, "compute", "Use a GPU with at least 36 GiB, or a smaller base model"),
        (24, {"nf4_weights_bytes": 28 * GIB}, "compute", "Use a GPU with at least 36 GiB"),
    ],
)
def test_the_smallest_change_that_fits_is_told(gpu_gib: int, needed: dict[str, int], param: str, change: str) -> None:
    story = decided(prepared({LABEL: str(gpu_gib * 1024)}, needed=NEEDED.model_copy(update=needed)))

    assert story.status.error is not None
    assert story.status.error.param == f"spec.{param}"
    assert change in (story.status.error.hint or "")
