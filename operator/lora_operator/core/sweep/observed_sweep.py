"""What the operator knows of one sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from lora_contract import names
from lora_contract.sweep import LoRASweepSpec, LoRASweepStatus, Trial, trials_of
from lora_operator.core.observe.observed import FineTune
from lora_operator.core.observe.owner import is_managed
from lora_operator.core.observe.parsing import ReadSpec
from lora_operator.core.observe.resource import CreateError, Resource


@dataclass(frozen=True)
class Sweep(Resource[LoRASweepSpec, LoRASweepStatus]):
    """A LoRASweep and the trials that its spec stands for."""

    kind = names.SWEEP_KIND
    spec_model = LoRASweepSpec
    status_model = LoRASweepStatus

    trials: tuple[Trial, ...] = ()

    def made(self, run: FineTune) -> bool:
        """Return whether a run that this sweep controls is one of its trials, as the operator makes them."""
        labelled = is_managed(run.labels) and run.labels.get(names.LABEL_SWEEP) == self.name
        return labelled and any(trial.name == run.name for trial in self.trials)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API. Never raises for what a user may have written into spec or status."""
        sweep = super().from_dict(body)
        return sweep._with_trials()

    def by_earlier_rules(self) -> Self:
        """Return the sweep with its spec, though rules that came later forbid it."""
        return super().by_earlier_rules()._with_trials()

    def _with_trials(self) -> Self:
        if self.spec is None:
            return self
        try:
            return replace(self, trials=trials_of(self.name, self.spec))
        except ValueError as error:
            return replace(self, read_spec=ReadSpec(None, (f"spec.{error}",)))


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
        """Find the run of that name."""
        return next((run for run in self.runs if run.name == name), None)
