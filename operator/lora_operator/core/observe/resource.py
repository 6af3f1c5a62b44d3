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
from lora_operator.core.observe.parsing import parsed_spec, parsed_status

SpecT = TypeVar("SpecT", bound=SpecModel)
StatusT = TypeVar("StatusT", bound=ConditionedStatus)


@dataclass(frozen=True)
class Resource(Generic[SpecT, StatusT]):
    """A custom resource. `spec` is None where it is invalid; `spec_errors` then says why, one line a field."""

    kind: ClassVar[str]
    spec_model: ClassVar[type[Any]]
    status_model: ClassVar[Any]

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    created: datetime
    deleting: bool
    labels: Mapping[str, str]
    spec: SpecT | None
    spec_errors: tuple[str, ...]
    #: An invalid spec without the rules that it breaks; None: it is valid, or not even of the right form.
    unchecked: SpecT | None
    #: JSON. Parsed it takes seven times the memory, and most resources ended long ago and are never looked at.
    status_text: bytes

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
        return self if self.unchecked is None else replace(self, spec=self.unchecked, spec_errors=(), unchecked=None)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Read an object of the API. Never raises for what a user may have written into spec or status."""
        metadata = body["metadata"]
        spec, errors = parsed_spec(cls.spec_model, body.get("spec") or {})
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            generation=int(metadata.get("generation") or 0),
            resource_version=str(metadata.get("resourceVersion") or ""),
            created=parse_time(metadata.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
            deleting=bool(metadata.get("deletionTimestamp")),
            labels=dict(metadata.get("labels") or {}),
            spec=spec,
            spec_errors=errors,
            unchecked=cls.spec_model.unchecked(body.get("spec") or {}) if spec is None else None,
            status_text=json.dumps(body.get("status") or {}, separators=(",", ":")).encode(),
        )


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
    monotonic clock.
    """

    name: str
    code: int
    message: str
    time: float
