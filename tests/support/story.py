"""What stories of a run and of a sweep share: one resource, the time, and what was decided about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Generic, Self

from lora_contract.times import format_time
from lora_operator.core.observe.resource import CreateError, StatusT
from lora_operator.core.observe.sight import Fact
from lora_operator.core.run.decision import ActionT, Decision, ReadObjects
from lora_operator.settings import Settings
from support.specs import changed

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_PROCESS_STARTED = 1000.0
_MAX_DECISIONS = 3


def settings(**fields: Any) -> Settings:
    """Settings of a platform with a progress endpoint."""
    defaults: dict[str, Any] = {
        "trainer_image": "registry.example/lora-trainer:1",
        "progress_url": "https://lora-operator.lora-system.svc:8443",
        "progress_ca": "-----BEGIN CERTIFICATE-----\n",
        "default_s3_endpoint": "http://s3.example:8333",
    }
    return Settings(**(defaults | fields))


def resource(name: str, uid: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A resource that nobody has seen yet."""
    metadata = {
        "name": name,
        "namespace": "team-a",
        "uid": uid,
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": format_time(START),
        "labels": {"team": "a"},
    }
    return {"metadata": metadata, "spec": spec}


@dataclass
class BaseStory(ABC, Generic[StatusT, ActionT]):
    """One resource and the time."""

    status_model: ClassVar[type[Any]]

    body: dict[str, Any]
    settings: Settings
    now: datetime = START
    #: How far the clock of the API server, as the operator knows it, is ahead of those that write into objects.
    skew: timedelta = timedelta(0)
    #: What the operator remembers from one decision to the next.
    first_seen: Mapping[Fact, float] = field(default_factory=dict)
    create_error: CreateError | None = None
    #: Everything that was decided, in order.
    decisions: list[Decision[StatusT, ActionT]] = field(default_factory=list)
    writes: int = 0

    # ---- the operator

    @abstractmethod
    def asked(self) -> Decision[StatusT, ActionT]:
        """What the core would decide now; nothing is applied."""

    @abstractmethod
    def apply(self, action: ActionT) -> None:
        """What the operator's edge would do."""

    def decides(self, *, crash_before_status: bool = False) -> Self:
        """Ask the core and apply its answer, or only its actions."""
        for _ in range(_MAX_DECISIONS):
            decision = self.asked()
            self.decisions.append(decision)
            self.first_seen = decision.first_seen
            for action in decision.actions:
                self.apply(action)
            if crash_before_status:
                return self
            status = decision.status.dump()
            if status != self.body.get("status"):
                self.body["status"] = status
                self.writes += 1
            for action in decision.follow_up:
                self.apply(action)
            if not any(isinstance(action, ReadObjects) for action in decision.actions):
                return self
        return self

    # ---- what a test asks

    @property
    def monotonic(self) -> float:
        """Now, by the monotonic clock of the operator's process."""
        return _PROCESS_STARTED + (self.now - START).total_seconds()

    @property
    def time(self) -> str:
        """Now, as the API writes it."""
        return format_time(self.now)

    @property
    def status(self) -> StatusT:
        """The status as written."""
        status: StatusT = self.status_model.model_validate(self.body.get("status") or {})
        return status

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        found = next(c for c in self.status.conditions if c.type == kind)
        return found.status, found.reason

    @property
    def message(self) -> str:
        """What Ready says."""
        return next(c.message for c in self.status.conditions if c.type == "Ready")

    @property
    def events(self) -> list[str]:
        """Reasons of all Events told so far."""
        return [event.reason for decision in self.decisions for event in decision.events]

    # ---- what happens

    def user_sets(self, changes: dict[str, Any]) -> Self:
        """The spec is edited."""
        self.body["spec"] = changed(changes, self.body["spec"])
        self.body["metadata"]["generation"] += 1
        return self

    def after(self, seconds: float, *, told: bool = True) -> Self:
        """Time passes; the operator was `told` of what happened before, or was away."""
        if told:
            self.first_seen = self.asked().first_seen
        self.now += timedelta(seconds=seconds)
        return self
