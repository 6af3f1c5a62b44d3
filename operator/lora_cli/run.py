"""A LoRAFineTune as the API server has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lora_cli.clean import cleaned
from lora_contract.outside import salvaged
from lora_contract.status import LoRAFineTuneStatus, Phase
from lora_contract.times import parse_time


@dataclass(frozen=True)
class Run:
    """One run. `raw` is the object as it came; every text of the other fields is clean.

    `spec` is JSON, with the defaults that the API server fills in.
    """

    name: str
    namespace: str
    uid: str
    created: datetime | None
    labels: Mapping[str, str]
    spec: Mapping[str, Any]
    status: LoRAFineTuneStatus
    raw: Mapping[str, Any]

    @property
    def phase(self) -> str:
        """The phase; Pending where none was written yet."""
        return str(self.status.phase or Phase.PENDING)

    @property
    def model(self) -> str:
        """Name of the base model."""
        return str(self.part("model").get("id", ""))

    @property
    def gpus(self) -> int:
        """GPUs of all nodes together."""
        compute = self.part("compute")
        return _whole(compute.get("gpus"), 1) * _whole(compute.get("nodes"), 1)

    @property
    def suspended(self) -> bool:
        """Whether it is asked to hold."""
        return self.spec.get("suspend") is True

    @property
    def holds_gpus(self) -> bool:
        """Whether a train pod of it runs now."""
        return any(each.stage == "train" and each.start_time and not each.end_time for each in self.status.attempts)

    def part(self, name: str) -> Mapping[str, Any]:
        """Return a part of the spec; empty where there is none."""
        part = self.spec.get(name)
        return part if isinstance(part, Mapping) else {}


def read_run(raw: Mapping[str, Any]) -> Run:
    """Read an object of the API server. What another version wrote and this one does not know is left out."""
    body = cleaned(raw)
    metadata = body.get("metadata") or {}
    status = salvaged(LoRAFineTuneStatus, body.get("status") or {}) or LoRAFineTuneStatus()
    return Run(
        name=str(metadata.get("name", "")),
        namespace=str(metadata.get("namespace", "")),
        uid=str(metadata.get("uid", "")),
        created=parse_time(metadata.get("creationTimestamp")),
        labels=metadata.get("labels") or {},
        spec=body.get("spec") or {},
        status=status,
        raw=raw,
    )


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
