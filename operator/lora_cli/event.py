"""An Event about a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lora_cli.clean import cleaned
from lora_contract.times import parse_time

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """One Event; all texts are clean."""

    uid: str
    time: datetime | None
    type: str
    reason: str
    message: str


def read_events(items: Iterable[Mapping[str, Any]]) -> list[Event]:
    """Read Events as `v1` has them, and sort them, oldest first."""
    return sorted((_event(cleaned(item)) for item in items), key=lambda event: event.time or _LONG_AGO)


def _event(body: Mapping[str, Any]) -> Event:
    metadata = body.get("metadata") or {}
    series = body.get("series") or {}
    times = (series.get("lastObservedTime"), body.get("lastTimestamp"), body.get("eventTime"))
    time = next((moment for moment in map(parse_time, times) if moment is not None), None)
    return Event(
        uid=str(metadata.get("uid", "")),
        time=time or parse_time(metadata.get("creationTimestamp")),
        type=str(body.get("type", "")),
        reason=str(body.get("reason", "")),
        message=str(body.get("message", "")),
    )
