"""How long a train pod will take, from how long others like it took."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Annotated

from pydantic import Field

from lora_contract import identity
from lora_contract.base import StatusModel
from lora_contract.estimate import LONGEST, EstimateStatus
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.status import PlanStatus

#: How far beside the fastest and the slowest earlier run the limits of the estimate lie: nodes and stores vary.
_MARGIN = 1.25
_HOUR = 3600
_Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class RunTime(StatusModel):
    """What the last train pod of a published run took, in seconds."""

    before: _Seconds = Field(description="From the start of the process to its first step.")
    training: _Seconds = Field(description="From the first to the last step, evaluations and checkpoints included.")
    after: _Seconds = Field(description="From the last step on: evaluation, reload and publication.")
    tokens: Annotated[float, Field(ge=1, le=1e15, allow_inf_nan=False)] = Field(
        description="Tokens of these steps, as `tokens_of` counts."
    )


def tokens_of(spec: LoRAFineTuneSpec, plan: PlanStatus, steps: int) -> float:
    """Count the tokens of so many steps, by the mean length of the training rows."""
    return plan.tokens / max(plan.rows, 1) * spec.training.effective_batch_size * steps


def key_of(spec: LoRAFineTuneSpec, model_commit: str) -> str:
    """Name the runs that take as long for each token: same model, precision, adapter, objective, GPUs and node labels.

    64 hexadecimal digits. Runs on a CPU have the same number of cores.
    """
    compute = spec.compute
    alike = {
        "model": [spec.model.id, model_commit],
        "quantization": spec.quantization.dump(),
        "adapter": spec.lora.dump(),
        "method": None if spec.method is None else sorted(spec.method.dump()),
        "gpus": [compute.resource_name, compute.gpus, compute.nodes, compute.node_selector],
        "cpu": compute.cpu if compute.gpus == 0 else None,
    }
    return identity.digest(alike)


def estimate(spec: LoRAFineTuneSpec, plan: PlanStatus, earlier: Sequence[RunTime]) -> EstimateStatus | None:
    """Estimate the seconds of the train pod: medians of the earlier runs, training in proportion to its tokens.

    The limits are the fastest and the slowest of them, less and plus a quarter; a run that may stop early may take no
    more than its first steps. None where there are no earlier runs, or they are of no use.
    """
    if not earlier:
        return None
    tokens = tokens_of(spec, plan, plan.total_steps)
    around = [run.before + run.after for run in earlier]
    steps = [run.training / run.tokens * tokens for run in earlier]
    seconds = median(around) + median(steps)
    shortest = min(around) + (0 if spec.training.early_stopping else min(steps))
    longest = (max(around) + max(steps)) * _MARGIN
    if longest > LONGEST:
        return None
    gpus = spec.compute.gpus * spec.compute.nodes
    return EstimateStatus(
        seconds=round(seconds),
        low=round(shortest / _MARGIN),
        high=round(longest),
        gpu_hours=f"{gpus * seconds / _HOUR:.4f}",
        basis="EarlierRuns",
        runs=len(earlier),
    )
