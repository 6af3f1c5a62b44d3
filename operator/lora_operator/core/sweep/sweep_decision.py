"""What the core answers about a sweep."""

from __future__ import annotations

from dataclasses import dataclass

from lora_contract.sweep import LoRASweepStatus
from lora_operator.core.run.decision import Create, Decision


class CreateTrial(Create):
    """Create the LoRAFineTune of a trial."""


@dataclass(frozen=True)
class SuspendTrial:
    """Set `spec.suspend` of a trial's LoRAFineTune. That it is gone counts as done."""

    name: str
    suspend: bool


SweepAction = CreateTrial | SuspendTrial
SweepDecision = Decision[LoRASweepStatus, SweepAction]
