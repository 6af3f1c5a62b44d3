"""What the operator knows of one sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

from lora_contract import names
from lora_contract.sweep import LoRASweepSpec, LoRASweepStatus, Trial, trials_of
from lora_operator.core.observed import FineTune
from lora_operator.core.parsing import parsed_spec, parsed_status


@dataclass(frozen=True)
class Sweep:
    """A LoRASweep. `spec` is None where it is invalid; `spec_errors` then says why, one line a field."""

    kind: ClassVar[str] = names.SWEEP_KIND

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    deleting: bool
    labels: Mapping[str, str]
    spec: LoRASweepSpec | None
    trials: tuple[Trial, ...]
    spec_errors: tuple[str, ...]
    status: LoRASweepStatus

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API. Never raises for what a user may have written into spec or status."""
        metadata = body["metadata"]
        spec, errors = parsed_spec(LoRASweepSpec, body.get("spec") or {})
        trials: tuple[Trial, ...] = ()
        if spec is not None:
            try:
                trials = trials_of(metadata["name"], spec)
            except ValueError as error:
                spec, errors = None, (f"spec.{error}",)
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=int(metadata.get("generation") or 0),
            resource_version=str(metadata.get("resourceVersion") or ""),
            deleting=bool(metadata.get("deletionTimestamp")),
            labels=dict(metadata.get("labels") or {}),
            spec=spec,
            trials=trials,
            spec_errors=errors,
            status=parsed_status(LoRASweepStatus, body.get("status") or {}),
        )


@dataclass(frozen=True)
class TrialError:
    """A trial could not be created: the API server refused it, or its name is taken. Forgotten once one can."""

    trial: str
    message: str
    time: datetime


@dataclass(frozen=True)
class ObservedSweep:
    """All that is known of one sweep. `runs` are the LoRAFineTunes whose controller it is.

    The caller keeps it up to date with its own writes: a created run is seen by the next decision.
    """

    sweep: Sweep
    runs: tuple[FineTune, ...] = ()
    trial_error: TrialError | None = None

    def run(self, name: str) -> FineTune | None:
        """The run of that name."""
        return next((run for run in self.runs if run.name == name), None)
