"""What every resource of ours has in common, as the operator knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from lora_contract.base import SpecModel
from lora_contract.conditions import ConditionedStatus, ConditionType
from lora_contract.times import parse_time
from lora_operator.core.observe.parsing import ReadSpec, parsed_spec, parsed_status

SpecT = TypeVar("SpecT", bound=SpecModel)
StatusT = TypeVar("StatusT", bound=ConditionedStatus)


@dataclass(frozen=True)
class Resource(Generic[SpecT, StatusT]):
    """A custom resource. Its spec and status are kept as JSON: most resources ended long ago and are never looked at.

    Parsed, a status takes seven times the memory, and a spec nine times.
    """

    kind: ClassVar[str]
    spec_model: ClassVar[Any]
    status_model: ClassVar[Any]

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    created: datetime
    deleting: bool
    labels: Mapping[str, str]
    spec_text: bytes
    status_text: bytes
    #: What counts instead of `spec_text`.
    read_spec: ReadSpec[SpecT] | None = None

    @property
    def spec(self) -> SpecT | None:
        """The spec; None where it is invalid."""
        return self._spec.spec

    @property
    def spec_errors(self) -> tuple[str, ...]:
        """Why the spec is invalid, one line a field."""
        return self._spec.errors

    @property
    def status(self) -> StatusT:
        """The status as last seen."""
        status: StatusT = _status(self.status_model, self.status_text)
        return status

    @property
    def seen(self) -> bool:
        """Whether its status has been written."""
        return bool(self.status.conditions)

    @property
    def accepted(self) -> bool:
        """Whether the status says that this very spec was accepted."""
        said = self.status.condition(ConditionType.ACCEPTED)
        return said is not None and said.status == "True" and said.observed_generation == self.generation

    def by_earlier_rules(self) -> Self:
        """Return the resource with its spec, though rules that came later forbid it."""
        unchecked = self._spec.unchecked
        return self if unchecked is None else replace(self, read_spec=ReadSpec(unchecked))

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API. Never raises for what a user may have written into spec or status."""
        metadata = body["metadata"]
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=int(metadata.get("generation") or 0),
            resource_version=str(metadata.get("resourceVersion") or ""),
            created=parse_time(metadata.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
            deleting=bool(metadata.get("deletionTimestamp")),
            labels=dict(metadata.get("labels") or {}),
            spec_text=_text(body.get("spec")),
            status_text=_text(body.get("status")),
        )

    @property
    def _spec(self) -> ReadSpec[SpecT]:
        found: ReadSpec[SpecT] = self.read_spec or _spec(self.spec_model, self.spec_text)
        return found


def _text(part: object) -> bytes:
    return json.dumps(part or {}, separators=(",", ":")).encode()


@lru_cache(maxsize=256)
def _spec(model: Any, text: bytes) -> ReadSpec[Any]:
    """Parse a spec once for all who have it, as a status."""
    return parsed_spec(model, json.loads(text))


@lru_cache(maxsize=256)
def _status(model: type[Any], text: bytes) -> Any:
    """Parse a status once for all who have it: the models are frozen, so one may be shared."""
    return parsed_status(model, json.loads(text))


class Observation(Protocol):
    """All that is known of one resource."""

    @property
    def resource(self) -> Resource[Any, Any]:
        """The resource itself."""


@dataclass(frozen=True)
class CreateError:
    """The API server refused to create what a resource needs (its name, HTTP code, the message).

    A run's Job, its Service or a NetworkPolicy: HTTP 4xx, but neither 429 nor our own object's 409. A sweep's run:
    also where the name is taken. The caller forgets it once a create succeeds. `time` is of the
    monotonic clock. `unreadable`: it was not refused, an object of this name exists that the operator may not read.
    """

    name: str
    code: int
    message: str
    time: float
    unreadable: bool = False
