"""What the operator knows of one sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from lora_contract import names
from lora_contract.sweep import LoRASweepSpec, LoRASweepStatus, Trial, trials_of
from lora_operator.core.observed import FineTune
from lora_operator.core.owner import is_managed
from lora_operator.core.resource import CreateError, Resource


@dataclass(frozen=True)
class Sweep(Resource[LoRASweepSpec, LoRASweepStatus]):
    """A LoRASweep and the trials that its spec stands for."""

    kind = names.SWEEP_KIND
    spec_model = LoRASweepSpec
    status_model = LoRASweepStatus

    trials: tuple[Trial, ...] = ()

    def made(self, run: FineTune) -> bool:
        """Whether a run that this sweep controls is one of its trials, as the operator makes them."""
        labelled = is_managed(run.labels) and run.labels.get(names.LABEL_SWEEP) == self.name
        return labelled and any(trial.name == run.name for trial in self.trials)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API. Never raises for what a user may have written into spec or status."""
        sweep = super().from_dict(body)
        if sweep.spec is None:
            return sweep
        try:
            return replace(sweep, trials=trials_of(sweep.name, sweep.spec))
        except ValueError as error:
            return replace(sweep, spec=None, spec_errors=(f"spec.{error}",))


@dataclass(frozen=True)
class ObservedSweep:
    """All that is known of one sweep. `runs` are the LoRAFineTunes whose controller it is.

    The caller keeps it up to date with its own writes: a created run is seen by the next decision.
    """

    sweep: Sweep
    runs: tuple[FineTune, ...] = ()
    create_error: CreateError | None = None
    #: The monotonic clock of this process, in seconds.
    monotonic: float = 0.0

    @property
    def resource(self) -> Sweep:
        """The resource."""
        return self.sweep

    def run(self, name: str) -> FineTune | None:
        """The run of that name."""
        return next((run for run in self.runs if run.name == name), None)
