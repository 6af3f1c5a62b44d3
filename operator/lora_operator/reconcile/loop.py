"""The loop: gather what is known of one resource, decide, act, write the status. The only writer of status."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Generic, TypedDict, TypeVar, Unpack

from lora_contract.changes import change_conditions
from lora_contract.reasons import Reason
from lora_operator.core.observe.resource import CreateError, Observation, Resource, StatusT
from lora_operator.core.run.decision import ActionT, Create, Decision, Event
from lora_operator.core.status.conditions import undecided
from lora_operator.effects import metrics
from lora_operator.effects.api.client import ApiError, Cause
from lora_operator.effects.api.event_recorder import EventRecorder
from lora_operator.effects.api.kube import Kube, NotOursError, UnreadableError
from lora_operator.effects.api.merge_patch import difference
from lora_operator.effects.errors import ExpectedError
from lora_operator.effects.kinds import Key, Kind
from lora_operator.effects.memory.cache import Cache
from lora_operator.reconcile.refused_status import said_of, unknown, without
from lora_operator.settings import Settings

ObservedT = TypeVar("ObservedT", bound=Observation)

#: Decisions in one look: each action may change what is decided next. More than these wait for the next look.
_MAX_DECISIONS = 6
_NEXT_LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


class UndecidedError(ExpectedError):
    """A decision raised: a defect, reported on the object and in the log."""


class Parts(TypedDict):
    """What every reconciler works with."""

    cache: Cache
    kube: Kube
    events: EventRecorder
    settings: Settings


class Reconciler(ABC, Generic[ObservedT, StatusT, ActionT]):
    """Brings resources of one kind forward, one decision after the other.

    Every write is harmless when done twice, and its answer goes into the cache before the next decision; so a
    crash between any two writes, or a watch that lags behind, leads to the same end.
    """

    kind: ClassVar[Kind]

    def __init__(self, **parts: Unpack[Parts]) -> None:
        self._cache = parts["cache"]
        self._kube = parts["kube"]
        self._events = parts["events"]
        self._settings = parts["settings"]

    @abstractmethod
    def _observe(self, key: Key) -> ObservedT | None:
        """Gather all that is known of a resource; None where it does not exist."""

    @abstractmethod
    def _decide(self, observed: ObservedT, now: datetime) -> Decision[StatusT, ActionT]:
        """Decide what to do about it."""

    @abstractmethod
    async def _act(self, observed: ObservedT, action: ActionT) -> bool:
        """Do it. False: it could not be done; decide anew."""

    def _count(self, resource: Resource[Any, StatusT], written: StatusT) -> None:
        """Count what a status says that the one before did not."""

    async def reconcile(self, key: Key) -> float | None:
        """Look at one resource; the seconds until the next look, or None to wait for a change.

        Raises:
            ExpectedError: the API server could not do what was asked, or there is no decision; the caller tries again.
        """
        for _ in range(_MAX_DECISIONS):
            observed = self._observe(key)
            if observed is None or observed.resource.deleting:
                return None  # owner references collect the rest
            memory = self._cache.memory(observed.resource.uid)
            try:
                decision = self._decide(observed, self._kube.now())
            except Exception as error:
                await self._tell_defect(observed.resource, error)
                raise UndecidedError(f"no decision: {type(error).__name__}") from error
            memory.first_seen, memory.defect = decision.first_seen, None
            if decision.actions and not observed.resource.seen:
                await self._act_all(observed, decision.actions)
                return 0.0  # its status is written after the work of other new ones has been started
            if await self._apply(observed, decision) and not (decision.actions or decision.follow_up):
                return decision.requeue_after
        return _NEXT_LOOK_SECONDS

    async def _tell_defect(self, resource: Resource[Any, StatusT], error: Exception) -> None:
        """Log the trace once and report on the object that it is stuck; the rest of its status stays."""
        memory, defect = self._cache.memory(resource.uid), f"{type(error).__name__}: {error}"
        if memory.defect != defect:
            memory.defect = defect
            logger.error("%s/%s: no decision could be made", resource.namespace, resource.name, exc_info=error)
        generation = resource.generation
        told = undecided(resource.status.conditions, type(error).__name__, generation=generation, now=self._kube.now())
        await self._write_status(resource, change_conditions(resource.status, told))

    async def _apply(self, observed: ObservedT, decision: Decision[StatusT, ActionT]) -> bool:
        """Carry out actions, status, Events, and actions that follow. False: something came in between; decide anew."""
        if not await self._act_all(observed, decision.actions):
            return False
        if not await self._write_status(observed.resource, decision.status):
            return False
        for event in decision.events:
            self._events.record(observed.resource, event)
        return await self._act_all(observed, decision.follow_up)

    async def _act_all(self, observed: ObservedT, actions: tuple[ActionT, ...]) -> bool:
        """Do one action after the other. False: one could not be done; those after it were not tried."""
        for action in actions:
            if not await self._act(observed, action):
                return False
        return True

    async def _write_status(self, resource: Resource[Any, StatusT], status: StatusT) -> bool:
        """Write what differs. False: the object has changed since it was read; it was read again.

        What the schema refuses, which is that of a CRD of another release, is left out and named on the object; what
        it does not know is dropped by the API server, and named in an Event and the log.
        """
        before, wanted = resource.status.dump(), said_of((), status.dump())
        refused: tuple[Cause, ...] = ()
        while patch := difference(before, wanted):
            try:
                stored = await self._patch_status(resource, patch)
            except ApiError as error:
                if error.status in (404, 409):
                    metrics.STATUS_WRITES.labels(result="conflict").inc()
                    await self._read_again(Key(resource.namespace, resource.name), resource.uid)
                    return False
                if error.status != 422:
                    raise
                metrics.STATUS_WRITES.labels(result="refused").inc()
                rest = without(error.causes, wanted)
                if rest is None:
                    self._tell_refused(resource, error.message)
                    raise
                refused = (*refused, *error.causes)
                wanted = said_of(refused, rest)
            else:
                self._count(resource, status)
                refused = (*refused, *unknown(patch, stored))
                break
        if refused:
            self._tell_refused(resource, "; ".join(f"{cause.field}: {cause.message}" for cause in refused))
        return True

    async def _patch_status(self, resource: Resource[Any, StatusT], patch: Mapping[str, Any]) -> dict[str, Any]:
        """Write a part of the status; the status as it is stored then."""
        key = Key(resource.namespace, resource.name)
        written = await self._kube.patch_status(self.kind, key, patch, resource_version=resource.resource_version)
        metrics.STATUS_WRITES.labels(result="written").inc()
        self._cache.put(self.kind, written)
        return written.get("status") or {}

    def _tell_refused(self, resource: Resource[Any, StatusT], what: str) -> None:
        """Log that a write was refused, and post an Event about it; once, until something else is refused."""
        memory = self._cache.memory(resource.uid)
        if memory.refused_write == what:
            return
        memory.refused_write = what
        logger.error("%s/%s: the API server refused of its status %s", resource.namespace, resource.name, what)
        text = f"The API server refused a part of the status: {what}"
        self._events.record(resource, Event("Warning", Reason.STATUS_REFUSED, text))

    async def _read_again(self, key: Key, uid: str) -> None:
        body = await self._kube.get(self.kind, key)
        if body is None or body["metadata"]["uid"] != uid:
            self._cache.forget(self.kind, key, uid)
        if body is not None:
            self._cache.put(self.kind, body)

    async def _create(self, kind: Kind, owner: Resource[Any, Any], action: Create) -> bool:
        """Create what a resource needs. False: it was refused, which the next decision knows."""
        return await self._created(owner, action.name, self._kube.create(kind, owner.namespace, action.manifest), kind)

    async def _created(
        self, owner: Resource[Any, Any], name: str, create: Awaitable[dict[str, Any] | None], kind: Kind | None = None
    ) -> bool:
        """Await a create; what it made is put into the cache where it is of a `kind` that is watched.

        False: it was refused, or the name is taken or cannot be read, which the next decision knows.
        """
        try:
            body = await create
        except NotOursError as error:
            refusal = CreateError(name, 409, str(error), time.monotonic())
        except UnreadableError as error:
            refusal = CreateError(name, 403, str(error), time.monotonic(), unreadable=True)
        except ApiError as error:
            if error.transient:
                raise
            refusal = CreateError(name, error.status, error.message, time.monotonic())
        else:
            self._cache.set_create_error(owner, None)
            if kind is not None and body is not None:
                self._cache.put(kind, body)
            return True
        self._cache.set_create_error(owner, refusal)
        logger.warning("%s/%s: %s could not be created: %s", owner.namespace, owner.name, name, refusal.message)
        return False

    async def _patch_spec(self, kind: Kind, key: Key, spec: dict[str, bool]) -> bool:
        """Change fields of the spec of an object. False: it is gone."""
        changed = await self._kube.patch_spec(kind, key, spec)
        if changed is not None:
            self._cache.put(kind, changed)
        return changed is not None
