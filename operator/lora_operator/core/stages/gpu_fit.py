"""Whether a run fits a GPU: prepare's estimate against the memory that the platform names or the nodes' labels say.

Judged once, before the train Job is made. What is not known is no verdict: the run is queued and tries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lora_contract import spec_paths
from lora_contract.changes import judge_plan
from lora_contract.counts import counted
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.reasons import Reason
from lora_contract.status import MemoryStatus, PlanStatus
from lora_operator.core.causes.pod_end import End
from lora_operator.core.manifests.pod_placement import node_selector
from lora_operator.core.manifests.pod_template import gpu_resource
from lora_operator.core.run import limits
from lora_operator.core.run.decision import ReadGpuMemory
from lora_operator.core.run.outcome import Failed, MustRead
from lora_operator.core.run.run import Run
from lora_operator.core.stages import results

GIB = 1 << 30
#: How far the estimate may be too high: a run that is refused wrongly is worse than one that runs out of memory.
_TOLERANCE = 1.1
#: Lengths are proposed in steps of this many tokens, and none that cuts rows to less than this share.
_TOKENS, _SHARE = 64, 0.5


@dataclass(frozen=True)
class GpuFit:
    """The run with the verdict in its plan, and what to do instead of starting it, if anything."""

    run: Run
    outcome: Failed | MustRead | None = None


def check_gpu_fit(run: Run) -> GpuFit:
    """Compare what the run needs with what GPUs have; ask for the nodes' labels before where they are not fresh."""
    plan, compute = run.status.plan, run.spec.compute
    trained_before = any(attempt.stage == "train" for attempt in run.status.attempts)
    if plan is None or plan.memory is None or plan.fits is not None or not compute.gpus or trained_before:
        return GpuFit(run)
    size: int | None = run.settings.gpu_memory
    if size is None and run.settings.read_gpu_nodes:
        question = _question(run)
        known = run.observed.gpu_memory.get(question.selector)
        if known is None or run.elapsed(known.read) > limits.GPU_MEMORY_FRESH:
            return GpuFit(run, MustRead((question,)))
        size = known.largest_bytes
    return GpuFit(run) if size is None else _verdict(run, plan, plan.memory, size)


def _question(run: Run) -> ReadGpuMemory:
    """Ask for the label of NVIDIA's feature discovery (`nvidia.com/gpu.memory`, also for MIG) in MiB."""
    label = f"{gpu_resource(run.spec, run.settings)}.memory"
    wanted = (f"{key}={value}" for key, value in sorted(node_selector(run.spec, run.settings).items()))
    return ReadGpuMemory(label, ",".join([label, *wanted]))


def _verdict(run: Run, plan: PlanStatus, memory: MemoryStatus, size: int) -> GpuFit:
    fits = memory.total_bytes <= size * _TOLERANCE
    run = run.with_status(plan=judge_plan(plan, fits=fits))
    if fits:
        return GpuFit(run)
    where = ""
    if run.spec.compute.node_selector:
        where = " that compute.nodeSelector matches"
    elif run.settings.train_pod_spec.node_selector:
        where = " that the platform's node selector matches"
    text = (
        f"Even with one row a pass the run needs about {_gib(memory.total_bytes)} of GPU memory, and the largest"
        f" GPU{where} has {_gib(size)}. It needs {_gib(memory.weights_bytes)} for the weights,"
        f" {_gib(memory.adapter_bytes)} for the adapter and its optimiser, {_gib(memory.activation_bytes)} for the"
        f" longest row ({counted(memory.row_tokens, 'token')}), {_gib(memory.logit_bytes)} for logits and"
        f" {_gib(memory.context_bytes)} for CUDA. Each GPU holds the whole model, so more GPUs do not help."
    )
    param, change = _smallest_change(run.spec, memory, size)
    end = End(Reason.INSUFFICIENT_GPU_MEMORY, text, param=param, hint=change)
    return GpuFit(run, results.failure(run, end))


def _smallest_change(spec: LoRAFineTuneSpec, memory: MemoryStatus, size: int) -> tuple[str, str]:
    """Choose the field to change, and to what."""
    larger = f"a GPU with at least {math.ceil(memory.total_bytes / GIB)} GiB"
    # A row of a pair is two copies of its prompt with an answer, each of which may have training.maxLength tokens.
    copies = 2 if spec.method is not None and spec.method.dpo is not None else 1
    tokens = _tokens(memory, size, memory.weights_bytes)
    if tokens >= memory.row_tokens * _SHARE:
        return spec_paths.TRAINING_MAX_LENGTH, f"Set training.maxLength: {tokens // copies}, or use {larger}."
    nf4 = "quantization: {type: nf4, doubleQuant: true}"
    smaller = memory.nf4_weights_bytes
    if smaller < memory.weights_bytes and (tokens := _tokens(memory, size, smaller)) >= memory.row_tokens * _SHARE:
        shorter = "" if tokens >= memory.row_tokens else f" and training.maxLength: {tokens // copies}"
        return spec_paths.QUANTIZATION, f"Set {nf4}{shorter}, or use {larger}."
    return spec_paths.COMPUTE, f"Use {larger}, or a smaller base model than {spec.model.id}."


def _tokens(memory: MemoryStatus, size: int, weights_bytes: int) -> int:
    """Compute how long the longest row may be, in whole steps; a shorter one may need less for logits too."""
    left = size - memory.total_bytes + memory.weights_bytes - weights_bytes + memory.activation_bytes
    tokens = max(0, left) * memory.row_tokens // max(1, memory.activation_bytes)
    return min(tokens, memory.row_tokens) if tokens >= memory.row_tokens else tokens // _TOKENS * _TOKENS


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
