"""The status of a LoRASweep: one row a trial, and the best of them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from lora_contract.base import StatusModel
from lora_contract.conditions import ConditionedStatus
from lora_contract.status import ArtifactStatus, field

#: Shares of a trial's steps, in percent, at which its loss is kept to compare others with.
MILESTONES = tuple(range(10, 100, 10))


class SweepPhase(StrEnum):
    """A one-word summary for people; programs use the conditions."""

    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


class TrialPhase(StrEnum):
    """Where a trial is: the phase of its LoRAFineTune, and two words of the sweep's own."""

    WAITING = "Waiting"
    PENDING = "Pending"
    PREPARING = "Preparing"
    QUEUED = "Queued"
    RUNNING = "Running"
    PUBLISHING = "Publishing"
    SUSPENDED = "Suspended"
    STOPPED = "Stopped"
    COMPLETE = "Complete"
    FAILED = "Failed"

    @property
    def over(self) -> bool:
        """Whether the sweep waits for it no more."""
        return self in (TrialPhase.COMPLETE, TrialPhase.FAILED, TrialPhase.STOPPED)


class MilestoneStatus(StatusModel):
    """How good a trial was at one point of its way."""

    percent: int = Field(description="Share of the steps in percent.")
    best_eval_loss: str = Field(description="Lowest evaluation loss when the trial was first seen this far.")


class TrialStatus(StatusModel):
    """One trial."""

    name: str = Field(description="Name of its LoRAFineTune.")
    parameters: dict[str, str] = Field({}, description="The fields in which it differs from the template.")
    phase: TrialPhase = Field(TrialPhase.WAITING, description="Where it is; Waiting: not created yet.")
    best_eval_loss: str | None = field(
        "Lowest evaluation loss so far; trials are ranked by it, if they mean the same by it."
    )
    test_loss: str | None = field("Loss of its adapter on the test rows.")
    artifact_uri: str | None = field("S3 prefix of its adapter.")
    stopped_at_percent: int | None = Field(None, description="Where median stopping suspended it.")
    milestones: list[MilestoneStatus] = Field([], description="Its loss along the way, for median stopping.")


class BestStatus(StatusModel):
    """The complete trial with the lowest evaluation loss; where settings of method are varied, which change what a loss
    means, that with the highest accuracy of preferences on the validation rows.
    """

    trial: str = Field(description="Name of its LoRAFineTune.")
    parameters: dict[str, str] = Field({}, description="The fields in which it differs from the template.")
    best_eval_loss: str = Field(description="Its lowest evaluation loss.")
    best_eval_accuracy: str | None = field("Share of validation rows of which it prefers what the row prefers.")
    test_loss: str | None = field("Loss of its adapter on the test rows.")
    artifact: ArtifactStatus = Field(description="Its adapter.")


class LoRASweepStatus(ConditionedStatus):
    """Everything that happened, readable on the object."""

    phase: SweepPhase | None = Field(None, description="A one-word summary for people; programs use the conditions.")
    start_time: str | None = field("When the sweep was first seen, RFC 3339.")
    completion_time: str | None = field("When the last trial was over, RFC 3339.")
    summary: str | None = field("Trials that are over, of all, for the TRIALS column.")
    active: int | None = Field(None, description="Trials under way.")
    trials: list[TrialStatus] = Field([], description="All trials in the order in which they start.")
    best: BestStatus | None = Field(None, description="The best trial that is complete; final once Finished is True.")
