"""The wire format of progress reports: that of Kubeflow's KEP-2779, which transformers' KubeflowCallback speaks.

A POST of `{"trainerStatus": {"progressPercentage", "estimatedRemainingSeconds", "lastUpdatedTime", "metrics"}}`
with a bearer token. Our own trainer adds metrics named below; values are decimal strings.
"""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from lora_contract.outside import LARGEST

METRIC_STEP = "step"
METRIC_TOTAL_STEPS = "total_steps"
METRIC_FROM_STEP = "from_step"
METRIC_TRAIN_LOSS = "loss"
METRIC_EVAL_LOSS = "eval_loss"
METRIC_BEST_EVAL_LOSS = "best_eval_loss"
METRIC_BEST_STEP = "best_step"
METRIC_TOKENS_PER_SECOND = "tokens_per_second"
METRIC_PUBLISHING = "publishing"
#: Percent of the rows that the reference model was asked about, before the first step.
METRIC_REFERENCE = "reference_percent"

MAX_BODY_BYTES = 16384


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class Metric(_Wire):
    """A named number as text; stock callbacks also send numbers."""

    name: str = Field(max_length=256)
    value: str | float | int


class TrainerStatus(_Wire):
    """One report. Every field may be absent."""

    progress_percentage: int | None = Field(None, ge=0, le=100)
    estimated_remaining_seconds: int | None = Field(None, ge=0, le=LARGEST)
    last_updated_time: str | None = Field(None, max_length=64)
    metrics: list[Metric] = Field([], max_length=256)

    def number(self, name: str) -> float | None:
        """Read the latest value of a metric, if it is a finite number that JSON can carry."""
        for metric in reversed(self.metrics):
            if metric.name == name:
                return _finite(metric.value)
        return None

    def count(self, name: str) -> int | None:
        """Read the latest value of a metric that counts something: whole and not below 0."""
        number = self.number(name)
        return None if number is None else max(0, int(number))


def _finite(value: str | float) -> float | None:
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= LARGEST else None  # not so for nan, too


class ProgressReport(_Wire):
    """The body of a POST."""

    trainer_status: TrainerStatus = Field(validation_alias=AliasChoices("trainerStatus", "trainer_status"))
