"""What a run has used of `spec.limits`: booked time of pods that ended, and that of the pod which runs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from lora_contract.counts import counted
from lora_contract.status import UsageStatus
from lora_contract.times import parse_time
from lora_operator.core.run.run import Run
from lora_operator.settings import Price

_HOUR = 3600
#: Of fewer earlier runs one slow one would make the low estimate too high, and refuse what fits.
_FEWEST_RUNS_TO_REFUSE = 3


@dataclass(frozen=True)
class Limit:
    """A limit of the spec as GPU seconds of the whole run, and what is said once it is reached."""

    message: str
    gpu_seconds: float


def limit_reached(run: Run) -> Limit | None:
    """Return the limit that the run has used up; None where its train pod ended with an adapter meanwhile."""
    if any(pod.exit_code == 0 for pod in run.present_pods("train")):
        return None
    if (above := _estimate_above_limit(run)) is not None:
        return above
    used = _used_gpu_seconds(run)
    return next((limit for limit in _limits(run) if used >= limit.gpu_seconds), None)


def seconds_until_limit(run: Run) -> float | None:
    """Count the seconds until the nearest limit is reached; None once it is, or where no train container runs."""
    gpus = run.spec.compute.gpus * run.spec.compute.nodes
    running = any(a.stage == "train" and a.end_time is None for a in run.status.attempts)
    left = min((limit.gpu_seconds for limit in _limits(run)), default=0.0) - _used_gpu_seconds(run)
    return left / gpus if left > 0 and gpus and running else None


def _estimate_above_limit(run: Run) -> Limit | None:
    """Return the limit that even the low estimate of a run exceeds of which no train pod has started yet."""
    estimate = run.status.plan.estimate if run.status.plan is not None else None
    if (
        estimate is None
        or estimate.runs < _FEWEST_RUNS_TO_REFUSE
        or any(attempt.stage == "train" for attempt in run.status.attempts)
    ):
        return None
    gpus = run.spec.compute.gpus * run.spec.compute.nodes
    for limit in _limits(run):
        if gpus * estimate.low > limit.gpu_seconds > 0:
            field = limit.message.partition(":")[0]
            text = (
                f"{field}: by {counted(estimate.runs, 'earlier run')} the run needs"
                f" {gpus * estimate.low / _HOUR:.3g} to {gpus * estimate.high / _HOUR:.3g} GPU hours; the lower of"
                f" these is above the limit, which is {limit.gpu_seconds / _HOUR:.3g} GPU hours."
            )
            return Limit(text, limit.gpu_seconds)
    return None


def _used_gpu_seconds(run: Run) -> float:
    gpus = run.spec.compute.gpus * run.spec.compute.nodes
    used = float((run.status.usage or UsageStatus()).gpu_seconds)
    for attempt in run.status.attempts:
        if attempt.stage == "train" and attempt.end_time is None:
            started = parse_time(attempt.start_time)
            used += 0 if started is None else gpus * max(0.0, (run.now - started).total_seconds())
    return used


def _limits(run: Run) -> list[Limit]:
    wanted, price = run.spec.limits, run.settings.gpu_price
    limits = []
    if wanted.gpu_hours is not None:
        text = f"spec.limits.gpuHours: the run has used its {wanted.gpu_hours:g} GPU hours."
        limits.append(Limit(text, wanted.gpu_hours * _HOUR))
    if wanted.cost is not None and price is None:
        text = "spec.limits.cost: the platform names no price of a GPU hour. Use limits.gpuHours instead."
        limits.append(Limit(text, 0))
    if wanted.cost is not None and price is not None and price.per_hour > 0:
        text = f"spec.limits.cost: the run has used its {wanted.cost:g} {price.currency}."
        seconds = _gpu_seconds_of(Decimal(str(wanted.cost)), run.status.usage or UsageStatus(), price)
        limits.append(Limit(text, seconds))
    return limits


def _gpu_seconds_of(cost: Decimal, usage: UsageStatus, price: Price) -> float:
    """Convert a cost to GPU seconds: those booked have their cost, each pod's at the price of its day."""
    booked = Decimal(usage.cost or 0) if usage.currency == price.currency else Decimal(0)
    return usage.gpu_seconds + float((cost - booked) * _HOUR / price.per_hour)
