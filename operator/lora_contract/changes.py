"""Changed copies of what a status holds, checked by the type checker.

The models are frozen and pydantic checks nothing of `model_copy(update=...)`: a misspelt key would be stored and never
written. Each function here takes the fields of its model and no others; a test holds both lists against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, TypeVar, Unpack, cast

from lora_contract.base import Model
from lora_contract.conditions import Condition, ConditionedStatus
from lora_contract.estimate import EstimateStatus
from lora_contract.status import (
    ArtifactStatus,
    AttemptStatus,
    ErrorStatus,
    InputsStatus,
    LoRAFineTuneStatus,
    MetricsStatus,
    ParentStatus,
    Phase,
    PlanStatus,
    ProgressStatus,
    QueueStatus,
    UsageStatus,
)
from lora_contract.sweep.sweep_status import (
    BestStatus,
    LoRASweepStatus,
    MilestoneStatus,
    SweepPhase,
    TrialPhase,
    TrialStatus,
)

ModelT = TypeVar("ModelT", bound=Model)
ConditionedT = TypeVar("ConditionedT", bound=ConditionedStatus)


class StatusChanges(TypedDict, total=False):
    """The fields of a LoRAFineTuneStatus."""

    observed_generation: int | None
    conditions: list[Condition]
    phase: Phase | None
    spec_hash: str | None
    run_id: str | None
    run_token: str | None
    start_time: str | None
    completion_time: str | None
    parent: ParentStatus | None
    plan: PlanStatus | None
    progress: ProgressStatus | None
    metrics: MetricsStatus | None
    attempts: list[AttemptStatus]
    queue: QueueStatus | None
    usage: UsageStatus | None
    artifact: ArtifactStatus | None
    inputs: InputsStatus | None
    error: ErrorStatus | None
    warnings: list[str]


class SweepStatusChanges(TypedDict, total=False):
    """The fields of a LoRASweepStatus."""

    observed_generation: int | None
    conditions: list[Condition]
    phase: SweepPhase | None
    start_time: str | None
    completion_time: str | None
    summary: str | None
    active: int | None
    trials: list[TrialStatus]
    best: BestStatus | None


class AttemptChanges(TypedDict, total=False):
    """The fields of an AttemptStatus."""

    pod: str | None
    job: str | None
    job_uid: str | None
    stage: str
    node: str | None
    start_time: str | None
    end_time: str | None
    reason: str | None
    message: str | None
    exit_code: int | None
    from_step: int | None
    last_step: int | None


class UsageChanges(TypedDict, total=False):
    """The fields of a UsageStatus."""

    staging_seconds: int
    queue_seconds: int
    suspended_seconds: int
    train_seconds: int
    gpu_seconds: int
    gpu_idle_seconds: int
    cost: str | None
    currency: str | None
    lost_steps: int


class ProgressChanges(TypedDict, total=False):
    """The fields of a ProgressStatus."""

    step: int
    total_steps: int
    percent: int
    summary: str | None
    eta_seconds: int | None
    eta: str | None
    tokens_per_second: int | None
    last_update_time: str | None


class TrialChanges(TypedDict, total=False):
    """The fields of a TrialStatus."""

    name: str
    parameters: dict[str, str]
    phase: TrialPhase
    best_eval_loss: str | None
    test_loss: str | None
    artifact_uri: str | None
    stopped_at_percent: int | None
    milestones: list[MilestoneStatus]


def change_status(status: LoRAFineTuneStatus, **changes: Unpack[StatusChanges]) -> LoRAFineTuneStatus:
    """Copy the status of a run with some fields changed."""
    return _changed(status, changes)


def change_sweep_status(status: LoRASweepStatus, **changes: Unpack[SweepStatusChanges]) -> LoRASweepStatus:
    """Copy the status of a sweep with some fields changed."""
    return _changed(status, changes)


def change_conditions(status: ConditionedT, conditions: list[Condition]) -> ConditionedT:
    """Copy a status with other conditions."""
    return _changed(status, {"conditions": conditions})


def change_condition(condition: Condition, *, observed_generation: int) -> Condition:
    """Copy a condition as one about another generation of the spec."""
    return _changed(condition, {"observed_generation": observed_generation})


def judge_plan(plan: PlanStatus, *, fits: bool) -> PlanStatus:
    """Copy a plan with the verdict whether the run fits a GPU."""
    return _changed(plan, {"fits": fits})


def with_estimate(plan: PlanStatus, estimate: EstimateStatus | None) -> PlanStatus:
    """Copy a plan with what the run is expected to take."""
    return _changed(plan, {"estimate": estimate})


def price_estimate(estimate: EstimateStatus, *, cost: str, currency: str) -> EstimateStatus:
    """Copy an estimate with what it costs."""
    return _changed(estimate, {"cost": cost, "currency": currency})


def join_metrics(shown: MetricsStatus | None, measured: MetricsStatus) -> MetricsStatus:
    """Copy metrics with what was measured in place of what is shown; what was not measured stays."""
    return _changed(shown or MetricsStatus(), {name: value for name, value in measured if value is not None})


def change_attempt(attempt: AttemptStatus, **changes: Unpack[AttemptChanges]) -> AttemptStatus:
    """Copy an attempt with some fields changed."""
    return _changed(attempt, changes)


def change_usage(usage: UsageStatus, **changes: Unpack[UsageChanges]) -> UsageStatus:
    """Copy the use of time with some fields changed."""
    return _changed(usage, changes)


def change_progress(progress: ProgressStatus, **changes: Unpack[ProgressChanges]) -> ProgressStatus:
    """Copy the progress of a run with some fields changed."""
    return _changed(progress, changes)


def change_trial(trial: TrialStatus, **changes: Unpack[TrialChanges]) -> TrialStatus:
    """Copy the row of a trial with some fields changed."""
    return _changed(trial, changes)


def _changed(model: ModelT, changes: object) -> ModelT:
    return model.model_copy(update=cast("Mapping[str, Any]", changes))
