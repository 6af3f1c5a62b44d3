"""status.plan.estimate: what a run is expected to take, said before a GPU is asked for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lora_contract.base import StatusModel

#: The longest that is estimated, seconds: about 30 years.
LONGEST = 10**9


class EstimateStatus(StatusModel):
    """The expected time of the train pod: loading the model, all steps, evaluation and publication."""

    seconds: int = Field(description="Expected seconds of the train pod, waiting apart.", ge=0, le=LONGEST)
    low: int = Field(description="Seconds at the pace of the fastest earlier run, less a fifth.", ge=0, le=LONGEST)
    high: int = Field(description="Seconds at the pace of the slowest earlier run, plus a quarter.", ge=0, le=LONGEST)
    gpu_hours: str = Field(description="The expected seconds as GPU hours over all GPUs, a decimal.")
    cost: str | None = Field(None, description="The GPU hours at the platform's price; absent where it names none.")
    currency: str | None = Field(None, description="Currency of the cost.")
    basis: Literal["EarlierRuns"] = Field(
        description="What it follows from. EarlierRuns: runs of the same model, GPUs, precision and adapter."
    )
    runs: int = Field(description="How many earlier runs it follows from.", ge=0, le=1000)
