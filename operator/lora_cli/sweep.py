"""A LoRASweep as the API server has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lora_cli.clean import cleaned
from lora_contract.outside import salvaged
from lora_contract.sweep import LoRASweepStatus, TrialStatus


@dataclass(frozen=True)
class Sweep:
    """One sweep. `raw` is the object as it came; every text of the other fields is clean."""

    name: str
    namespace: str
    spec: Mapping[str, Any]
    status: LoRASweepStatus
    raw: Mapping[str, Any]

    @property
    def phase(self) -> str:
        """The phase; Pending where none was written yet."""
        return str(self.status.phase or "Pending")

    @property
    def fields(self) -> tuple[str, ...]:
        """Paths of the fields that are varied, in the order in which trials name them."""
        return tuple(dict.fromkeys(path for trial in self.status.trials for path in trial.parameters))

    @property
    def best(self) -> TrialStatus | None:
        """The best trial; None where none is known yet."""
        best = self.status.best
        return None if best is None else next((t for t in self.status.trials if t.name == best.trial), None)


def read_sweep(raw: Mapping[str, Any]) -> Sweep:
    """Read an object of the API server. What another version wrote and this one does not know is left out."""
    body = cleaned(raw)
    metadata = body.get("metadata") or {}
    return Sweep(
        name=str(metadata.get("name", "")),
        namespace=str(metadata.get("namespace", "")),
        spec=body.get("spec") or {},
        status=salvaged(LoRASweepStatus, body.get("status") or {}) or LoRASweepStatus(),
        raw=raw,
    )
