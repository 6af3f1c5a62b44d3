"""Conditions of our resources, as the API conventions of Kubernetes define them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from lora_contract.base import StatusModel

MAX_MESSAGE_LENGTH = 1024


class ConditionType(StrEnum):
    """Conditions in the order in which they are shown."""

    ACCEPTED = "Accepted"
    PREPARED = "Prepared"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"
    FINISHED = "Finished"
    COMPLETE = "Complete"
    FAILED = "Failed"
    #: Said only once it was asked for.
    INPUTS_DRIFTED = "InputsDrifted"


class Condition(StatusModel):
    """A metav1.Condition."""

    type: ConditionType = Field(description="What the condition is about.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(description="One word for programs; docs/reasons.md explains each.", max_length=128)
    message: str = Field("", description="What happened and what to do.", max_length=MAX_MESSAGE_LENGTH)
    last_transition_time: str = Field(description="When the status last changed, RFC 3339.")
    observed_generation: int | None = Field(None, description="Generation of the spec that it is about.")


class ConditionedStatus(StatusModel):
    """What the statuses of all our resources begin with."""

    observed_generation: int | None = Field(None, description="Generation of the spec that this status is about.")
    conditions: list[Condition] = Field([], description="Standard conditions.")

    def condition(self, kind: ConditionType) -> Condition | None:
        """Find the condition of a type, if it was ever written."""
        return next((c for c in self.conditions if c.type == kind), None)

    def holds(self, kind: ConditionType) -> bool:
        """Return whether the condition of a type is True."""
        condition = self.condition(kind)
        return condition is not None and condition.status == "True"

    @property
    def finished(self) -> bool:
        """Whether the end was reached, either way. What is finished is never started again.

        A refused spec says Finished too, for whoever waits for the end; but it goes on once it is corrected.
        """
        return self.holds(ConditionType.FINISHED) and not self.refused

    @property
    def refused(self) -> bool:
        """Whether the spec was refused."""
        accepted = self.condition(ConditionType.ACCEPTED)
        return accepted is not None and accepted.status == "False"
