"""Sweeps as a user writes and sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubernetes import client

from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.sweep import LoRASweepStatus, TrialPhase, TrialStatus
from support.api_server import eventually
from support.specs import BASE, changed

#: Two learning rates and two ranks: four trials.
SWEEP: dict[str, Any] = {
    "maxParallel": 2,
    "grid": {"lora": {"r": [8, 16]}, "training": {"learningRate": [0.0001, 0.0002]}},
    "template": {"spec": BASE},
}


def sweep(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The spec of a sweep, with changes as in `support.specs.changed`."""
    return changed(changes or {}, SWEEP)


@dataclass(frozen=True)
class Sweeps:
    """The LoRASweeps of one namespace, written strictly: an unknown field is refused, as by kubectl."""

    api: client.ApiClient
    namespace: str

    @property
    def _where(self) -> tuple[str, str, str, str]:
        return names.GROUP, names.VERSION, self.namespace, names.SWEEP_PLURAL

    @property
    def _resources(self) -> client.CustomObjectsApi:
        return client.CustomObjectsApi(self.api)

    def create(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Create one; the answer has the defaults that the server applied."""
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.SWEEP_KIND,
            "metadata": {"name": name},
            "spec": spec,
        }
        created: dict[str, Any] = self._resources.create_namespaced_custom_object(
            *self._where, body, field_validation="Strict"
        )
        return created

    def get(self, name: str) -> dict[str, Any]:
        """Read one."""
        found: dict[str, Any] = self._resources.get_namespaced_custom_object(*self._where, name)
        return found

    def patch(self, name: str, spec: dict[str, Any]) -> None:
        """Merge into the spec, as `kubectl patch` does."""
        self._resources.patch_namespaced_custom_object(*self._where, name, {"spec": spec})

    def delete(self, name: str) -> None:
        """Delete one."""
        self._resources.delete_namespaced_custom_object(*self._where, name)

    def status(self, name: str) -> LoRASweepStatus:
        """The status of one."""
        return LoRASweepStatus.model_validate(self.get(name).get("status") or {})

    def trial(self, name: str) -> TrialStatus:
        """The row of a trial, by the name of its run."""
        (row,) = [row for row in self.status(name.rpartition("-")[0]).trials if row.name == name]
        return row

    def reaches(self, name: str, condition: ConditionType, *, seconds: float = 60) -> LoRASweepStatus:
        """Wait for a condition; the status then."""

        def holds() -> bool:
            found = self.status(name).condition(condition)
            return found is not None and found.status == "True"

        eventually(f"{name} is {condition}", holds, seconds=seconds)
        return self.status(name)

    def trial_is(self, name: str, phase: TrialPhase, *, seconds: float = 60) -> TrialStatus:
        """Wait for the phase of a trial; its row then."""

        def holds() -> bool:
            rows = self.status(name.rpartition("-")[0]).trials
            return any(row.name == name and row.phase == phase for row in rows)

        eventually(f"{name} is {phase}", holds, seconds=seconds)
        return self.trial(name)
