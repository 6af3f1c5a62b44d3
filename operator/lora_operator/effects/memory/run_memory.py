"""What only this process remembers of a run or sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lora_operator.core.observe.observed import Progress, Warnings
from lora_operator.core.observe.resource import CreateError
from lora_operator.core.observe.sight import Fact


@dataclass
class Memory:
    """What the API server does not hold of a run or sweep. Losing it costs nothing but a fresher status."""

    progress: Progress | None = None
    create_error: CreateError | None = None
    warnings: Warnings | None = None
    services: frozenset[str] = frozenset()
    #: By the monotonic clock: when each fact was first seen, and when the newest reading of Jobs and pods began.
    first_seen: Mapping[Fact, float] = field(default_factory=dict)
    read: float | None = None
    #: Why the latest decision could not be made; its trace was logged.
    defect: str | None = None
    #: What of the status the API server refused last; it was logged.
    refused_write: str | None = None
