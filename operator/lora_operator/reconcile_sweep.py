"""One look at one sweep: gather what is known, decide, act, write the status."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from lora_contract.sweep import LoRASweepStatus
from lora_operator.core.decide_sweep import decide_sweep
from lora_operator.core.sweep.decision import CreateTrial, SuspendTrial, SweepAction, SweepDecision
from lora_operator.core.sweep.observed import Sweep, TrialError
from lora_operator.effects import metrics
from lora_operator.effects.api import ApiError
from lora_operator.effects.cache import Cache
from lora_operator.effects.event_recorder import EventRecorder
from lora_operator.effects.kinds import Kind
from lora_operator.effects.kube import Kube, NotOursError
from lora_operator.effects.merge_patch import difference
from lora_operator.effects.table import Key
from lora_operator.settings import Settings

#: Decisions in one look: each action may change what is decided next. More than these wait for the next look.
_MAX_DECISIONS = 4
_NEXT_LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


class SweepReconciler:
    """Brings sweeps forward, with the same promises as the one of runs. `look_at_run` asks for a look at a run."""

    def __init__(
        self,
        *,
        cache: Cache,
        kube: Kube,
        events: EventRecorder,
        settings: Settings,
        look_at_run: Callable[[Key], None],
    ) -> None:
        self._cache = cache
        self._kube = kube
        self._events = events
        self._settings = settings
        self._look_at_run = look_at_run

    async def reconcile(self, key: Key) -> float | None:
        """Look at one sweep; the seconds until the next look, or None to wait for a change.

        Raises:
            ExpectedError: the API server could not do what was asked; the caller tries again.
        """
        for _ in range(_MAX_DECISIONS):
            observed = self._cache.observe_sweep(key)
            if observed is None or observed.sweep.deleting:
                return None  # owner references collect the rest
            decision = decide_sweep(observed, self._settings, datetime.now(UTC))
            if await self._apply(observed.sweep, decision) and not decision.actions:
                return decision.requeue_after
        return _NEXT_LOOK_SECONDS

    async def _apply(self, sweep: Sweep, decision: SweepDecision) -> bool:
        """Actions, then status, then Events. False: something came in between; decide anew."""
        for action in decision.actions:
            if not await self._act(sweep, action):
                return False
        if not await self._write_status(sweep, decision.status):
            return False
        for event in decision.events:
            self._events.record(sweep, event)
        return True

    async def _act(self, sweep: Sweep, action: SweepAction) -> bool:
        match action:
            case CreateTrial():
                return await self._create_trial(sweep, action)
            case SuspendTrial(name, suspend):
                key = Key(sweep.namespace, name)
                run = await self._kube.patch_spec(Kind.FINETUNE, key, {"suspend": suspend})
                if run is not None:
                    self._cache.put(Kind.FINETUNE, run)
                    self._look_at_run(key)
        return True

    async def _create_trial(self, sweep: Sweep, action: CreateTrial) -> bool:
        try:
            run = await self._kube.create_trial(sweep.namespace, action.manifest, owner_uid=sweep.uid)
        except (ApiError, NotOursError) as error:
            if isinstance(error, ApiError) and error.transient:
                raise
            text = error.message if isinstance(error, ApiError) else str(error)
            self._cache.trial_errors[sweep.uid] = TrialError(action.name, text, datetime.now(UTC))
            logger.warning("%s/%s: trial %s was refused: %s", sweep.namespace, sweep.name, action.name, text)
            return False
        self._cache.trial_errors.pop(sweep.uid, None)
        self._cache.put(Kind.FINETUNE, run)
        self._look_at_run(Key(sweep.namespace, action.name))
        return True

    async def _write_status(self, sweep: Sweep, status: LoRASweepStatus) -> bool:
        """Write what differs. False: the object has changed since it was read; it was read again."""
        patch = difference(sweep.status.dump(), status.dump())
        if not patch:
            return True
        key = Key(sweep.namespace, sweep.name)
        try:
            written = await self._kube.patch_status(Kind.SWEEP, key, patch, resource_version=sweep.resource_version)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            metrics.STATUS_WRITES.labels(result="conflict").inc()
            await self._read_again(key, sweep)
            return False
        metrics.STATUS_WRITES.labels(result="written").inc()
        self._cache.put(Kind.SWEEP, written)
        return True

    async def _read_again(self, key: Key, sweep: Sweep) -> None:
        body = await self._kube.get(Kind.SWEEP, key)
        if body is None or body["metadata"]["uid"] != sweep.uid:
            self._cache.sweeps.remove(key, sweep.uid)
        if body is not None:
            self._cache.put(Kind.SWEEP, body)
