"""What the loop does for a LoRASweep: it creates and suspends runs, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Unpack, assert_never

from lora_contract.sweep import LoRASweepStatus
from lora_operator.core.sweep.decide import decide_sweep
from lora_operator.core.sweep.observed_sweep import ObservedSweep
from lora_operator.core.sweep.sweep_decision import CreateTrial, SuspendTrial, SweepAction, SweepDecision
from lora_operator.effects.kinds import Key, Kind
from lora_operator.reconcile.loop import Parts, Reconciler


class SweepReconciler(Reconciler[ObservedSweep, LoRASweepStatus, SweepAction]):
    """Brings sweeps forward. `look_at_run` asks for a look at a run."""

    kind = Kind.SWEEP

    def __init__(self, *, look_at_run: Callable[[Key], None], **parts: Unpack[Parts]) -> None:
        super().__init__(**parts)
        self._look_at_run = look_at_run

    def _observe(self, key: Key) -> ObservedSweep | None:
        return self._cache.observe_sweep(key)

    def _decide(self, observed: ObservedSweep, now: datetime) -> SweepDecision:
        return decide_sweep(observed, self._settings, now)

    async def _act(self, observed: ObservedSweep, action: SweepAction) -> bool:
        sweep = observed.sweep
        match action:
            case CreateTrial():
                done = await self._create(Kind.FINETUNE, sweep, action)
            case SuspendTrial(name, suspend):
                await self._patch_spec(Kind.FINETUNE, Key(sweep.namespace, name), {"suspend": suspend})
                done = True
            case _:
                assert_never(action)
        if done:
            self._look_at_run(Key(sweep.namespace, action.name))
        return done
