"""Stories of one sweep for tests of the pure core: decisions are applied to objects that are plain data.

`given_sweep()` begins a story; `.decides()` asks the core and applies its answer; the other verbs say what the runs
and the user do.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Self

from lora_contract.conditions import Condition, ConditionType
from lora_contract.status import ArtifactStatus, MetricsStatus, Phase, ProgressStatus
from lora_contract.sweep import LoRASweepStatus, TrialStatus
from lora_contract.times import format_time
from lora_operator.core.observe.observed import FineTune
from lora_operator.core.sweep.decide import decide_sweep
from lora_operator.core.sweep.observed_sweep import ObservedSweep, Sweep
from lora_operator.core.sweep.sweep_decision import CreateTrial, SuspendTrial, SweepAction, SweepDecision
from support.story import BaseStory, resource, settings
from support.sweeps import sweep


def given_sweep(changes: dict[str, Any] | None = None, **platform: Any) -> SweepStory:
    """A sweep that the operator has not seen yet: four trials, two at a time, with changes to its spec."""
    return SweepStory(resource("rates", "uid-of-the-sweep", sweep(changes)), settings(**platform))


@dataclass
class SweepStory(BaseStory[LoRASweepStatus, SweepAction]):
    """One sweep, its runs and the time."""

    status_model = LoRASweepStatus

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    # ---- the operator

    def observed(self) -> ObservedSweep:
        """What the operator knows now."""
        runs = tuple(FineTune.from_dict(run) for run in self.runs.values())
        return ObservedSweep(Sweep.from_dict(self.body), runs, self.create_error, self.monotonic)

    def asked(self) -> SweepDecision:
        """What the core would decide now; nothing is applied."""
        return decide_sweep(self.observed(), self.settings, self.now + self.skew)

    def apply(self, action: SweepAction) -> None:
        """What the operator's edge would do."""
        if isinstance(action, CreateTrial):
            assert action.name not in self.runs, "the run exists already"
            run = copy.deepcopy(action.manifest)
            run["metadata"] |= {"uid": f"uid-{action.name}", "generation": 1, "resourceVersion": "1"}
            self.runs[action.name] = run
        elif isinstance(action, SuspendTrial):
            self.runs[action.name]["spec"]["suspend"] = action.suspend

    # ---- what a test asks

    @property
    def phases(self) -> list[str]:
        """The phases of all trials."""
        return [str(row.phase) for row in self.status.trials]

    def row(self, number: int) -> TrialStatus:
        """The row of a trial."""
        return self.status.trials[number]

    def is_suspended(self, number: int) -> bool:
        """Whether the run of a trial is told to pause."""
        return bool(self.runs[f"rates-{number:02d}"]["spec"].get("suspend"))

    # ---- what the user does

    def user_suspends(self, number: int, suspend: bool = True) -> Self:
        """The spec of a run is edited."""
        self.runs[f"rates-{number:02d}"]["spec"]["suspend"] = suspend
        return self

    # ---- what runs do

    def run_is(self, number: int, phase: Phase, *, percent: int | None = None, loss: float | None = None) -> Self:
        """A run is in a phase, this far, with this best evaluation loss."""
        status = self.runs[f"rates-{number:02d}"].setdefault("status", {})
        status["phase"] = str(phase)
        if percent is not None:
            status["progress"] = ProgressStatus(step=percent, total_steps=100, percent=percent).dump()
        if loss is not None:
            status["metrics"] = MetricsStatus(best_eval_loss=f"{loss:.6g}").dump()
        return self

    def run_reaches(self, number: int, percent: int, loss: float) -> Self:
        """A run trains and is this far."""
        return self.run_is(number, Phase.RUNNING, percent=percent, loss=loss)

    def run_completes(self, number: int, loss: float, *, accuracy: float | None = None) -> Self:
        """A run published its adapter, which prefers so many validation rows rightly."""
        self.run_is(number, Phase.COMPLETE, percent=100, loss=loss)
        status = self.runs[f"rates-{number:02d}"]["status"]
        if accuracy is not None:
            status["metrics"]["bestEvalAccuracy"] = f"{accuracy:.6g}"
        status["metrics"]["testLoss"] = f"{loss + 0.1:.6g}"
        status["artifact"] = ArtifactStatus(
            uri=f"s3://adapters/team-a/rates-{number:02d}/1",
            manifest_digest="ab" * 32,
            size_bytes=1,
            base_model="m",
            required_max_lora_rank=8,
        ).dump()
        return self._finished(number)

    def run_fails(self, number: int) -> Self:
        """A run failed for good."""
        return self.run_is(number, Phase.FAILED)._finished(number)

    def _finished(self, number: int) -> Self:
        condition = Condition(
            type=ConditionType.FINISHED, status="True", reason="Any", last_transition_time=format_time(self.now)
        )
        self.runs[f"rates-{number:02d}"]["status"]["conditions"] = [condition.dump()]
        return self

    def run_is_deleted(self, number: int) -> Self:
        """A run is gone."""
        del self.runs[f"rates-{number:02d}"]
        return self
