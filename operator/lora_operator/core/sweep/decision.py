"""What the core answers about a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lora_contract.sweep import LoRASweepStatus
from lora_operator.core.decision import Event


@dataclass(frozen=True)
class CreateTrial:
    """Create this LoRAFineTune. That it exists already under this owner counts as done."""

    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of the run."""
        return str(self.manifest["metadata"]["name"])


@dataclass(frozen=True)
class SuspendTrial:
    """Set `spec.suspend` of a trial's LoRAFineTune. That it is gone counts as done."""

    name: str
    suspend: bool


SweepAction = CreateTrial | SuspendTrial


@dataclass(frozen=True)
class SweepDecision:
    """Apply in this order: actions, then the status (only where it differs), then the Events."""

    status: LoRASweepStatus
    actions: tuple[SweepAction, ...] = ()
    events: tuple[Event, ...] = ()
    #: Seconds until the next look, though nothing may change until then; None: changes alone decide.
    requeue_after: float | None = None
