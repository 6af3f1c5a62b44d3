"""One run as the checks see it: what was observed, the status as found, and the status being written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Unpack

from lora_contract import identity, names
from lora_contract.changes import StatusChanges, change_status
from lora_contract.conditions import ConditionType
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.names import RunStage
from lora_contract.reasons import Reason
from lora_contract.status import LoRAFineTuneStatus, Phase
from lora_contract.times import format_time
from lora_operator.core.observe.observed import FineTune, Job, Observed, Workload
from lora_operator.core.observe.pod import Pod
from lora_operator.core.observe.resource import CreateError
from lora_operator.core.observe.sight import Fact, Sight
from lora_operator.core.run import limits
from lora_operator.core.run.outcome import UnderWay
from lora_operator.settings import Settings

UNDER_WAY = (Phase.PENDING, Phase.PREPARING, Phase.QUEUED, Phase.RUNNING, Phase.PUBLISHING)


@dataclass(frozen=True)
class Run:
    """The run in hand. `before` is the status as found, `status` the one that will be written."""

    observed: Observed
    settings: Settings
    now: datetime
    before: LoRAFineTuneStatus
    status: LoRAFineTuneStatus
    superseded: bool = False
    job_names: dict[RunStage, str] = field(default_factory=dict)
    first_seen: Mapping[Fact, float] = field(default_factory=dict)
    #: The spec as it stands was accepted before, perhaps by other rules.
    accepted: bool = False

    @property
    def finetune(self) -> FineTune:
        """The resource."""
        return self.observed.finetune

    @property
    def spec(self) -> LoRAFineTuneSpec:
        """The valid spec.

        Raises:
            ValueError: the spec is invalid; `refused` ends such runs before anything asks.
        """
        if self.finetune.spec is None:
            raise ValueError("the spec is invalid")
        return self.finetune.spec

    @property
    def prepared(self) -> bool:
        """Whether prepare is done for good: its Job may be gone."""
        return self.status.run_id is not None and self.status.plan is not None

    @property
    def stage(self) -> RunStage:
        """The stage the run is in."""
        return "train" if self.prepared else "prepare"

    def job(self, stage: RunStage) -> Job | None:
        """Find the Job of a stage."""
        return self.observed.job(self.job_names[stage])

    def pods(self, stage: RunStage) -> tuple[Pod, ...]:
        """List the pods of a stage, oldest first."""
        return self.observed.pods_of(self.job_names[stage])

    def present_pods(self, stage: RunStage) -> tuple[Pod, ...]:
        """List the newest pod of each index, oldest first."""
        newest = {pod.index: pod for pod in self.pods(stage)}
        return tuple(sorted(newest.values(), key=lambda pod: (pod.created, pod.name)))

    def wanted_pods(self, stage: RunStage) -> int:
        """Count the pods that a stage has at once."""
        return self.spec.compute.nodes if stage == "train" else 1

    def workload(self, stage: RunStage) -> Workload | None:
        """Find the Kueue Workload of a stage."""
        job = self.job(stage)
        return None if job is None else self.observed.workload_of(job)

    def with_status(self, **changes: Unpack[StatusChanges]) -> Run:
        """Change fields of the status that will be written."""
        return replace(self, status=change_status(self.status, **changes))

    def seen_for(self, fact: Fact) -> float:
        """Count the seconds since this process first saw a fact; 0 where it sees it now, or not at all."""
        return self.elapsed(self.first_seen.get(fact, self.observed.monotonic))

    def elapsed(self, moment: float) -> float:
        """Count the seconds since a moment of the monotonic clock."""
        return self.observed.monotonic - moment

    def abandoned(self, pod: Pod) -> bool:
        """Return whether a pod will never end by itself: its node is gone, with the kubelet that would say so."""
        if pod.finished or not pod.unreachable or not pod.deleting:
            return False
        return self.until_abandoned(pod) <= 0

    def until_abandoned(self, pod: Pod) -> float:
        """Count the seconds until a pod that is being deleted is given up, if its node stays silent."""
        patience = pod.deletion_seconds + limits.NODE_GRACE
        return patience - self.seen_for(Fact(Sight.POD_DELETING, pod.uid))

    def refused_lately(self, *objects: str) -> CreateError | None:
        """Return the API server's refusal of an object of one of these names, where it is too early to try again."""
        error = self.observed.create_error
        return None if error is None or error.name not in objects or self.until_retry(error) <= 0 else error

    def until_retry(self, error: CreateError) -> float:
        """Count the seconds until what was refused is created again."""
        return limits.RETRY - self.elapsed(error.time)

    @property
    def was_held(self) -> bool:
        """Whether the status as found says that the run is suspended, or about to be, or that its spec is refused."""
        ready = self.before.condition(ConditionType.READY)
        stopping = ready is not None and ready.reason == Reason.SUSPENDING
        return self.before.holds(ConditionType.SUSPENDED) or self.before.refused or stopping

    def unchanged(self, look_again: float | None = None) -> UnderWay:
        """Leave the status as it is: there is nothing new to report yet."""
        ready = self.before.condition(ConditionType.READY)
        if self.superseded or ready is None or self.before.phase not in UNDER_WAY:
            return UnderWay(
                Phase.PENDING, Reason.PENDING, "Seen; nothing started yet.", self.status, look_again=look_again
            )
        try:
            reason = Reason(ready.reason)
        except ValueError:  # written by another version
            reason = Reason.PENDING
        return UnderWay(
            self.before.phase, reason, ready.message, self.status, look_again=look_again, queue=self.before.queue
        )


def begin(observed: Observed, settings: Settings, now: datetime) -> Run:
    """Begin with the run that the status is about, or with a new one.

    A new one begins on the first visit, on a changed runToken, and on a changed training spec, or another parent, under
    updatePolicy Rerun. Anything else, an upgrade of the operator too, goes on with the run there is.
    """
    before = observed.finetune.status
    accepted = observed.finetune.accepted
    if accepted:
        observed = replace(observed, finetune=observed.finetune.by_earlier_rules())
    finetune, status, superseded = observed.finetune, before, False
    if (spec := finetune.spec) is not None:
        wanted = before.spec_hash
        if wanted is None or (spec.update_policy == "Rerun" and not identity.is_hash_of(wanted, spec)):
            wanted = identity.spec_hash(spec)
        first = before.spec_hash is None
        changed = (wanted, spec.run_token) != (before.spec_hash, before.run_token or "")
        superseded = (changed or _has_other_parent(spec, before)) and not first and not accepted
        if first or superseded:
            status = LoRAFineTuneStatus(spec_hash=wanted, run_token=spec.run_token, start_time=format_time(now))
    stages: tuple[RunStage, RunStage] = ("prepare", "train")
    job_names = {
        stage: names.job_name(
            finetune.name,
            stage,
            uid=finetune.uid,
            spec_hash=status.spec_hash or "",
            run_token=_token_of_names(status, stage),
        )
        for stage in stages
    }
    return Run(observed, settings, now, before, status, superseded, job_names, accepted=accepted)


def _has_other_parent(spec: LoRAFineTuneSpec, status: LoRAFineTuneStatus) -> bool:
    """Return whether the spec names another parent, by address or run, than the one that the run went on from."""
    if spec.update_policy != "Rerun" or spec.parent is None or status.parent is None:
        return False
    if spec.parent.run is not None:
        return spec.parent.run != status.parent.run
    return status.parent.run is not None or (spec.parent.adapter or "").rstrip("/") != status.parent.uri


def _token_of_names(status: LoRAFineTuneStatus, stage: RunStage) -> str:
    """Return the part of a Job's name that makes it another: prepare has a new Job after each report that was lost."""
    lost = sum(1 for attempt in status.attempts if attempt.reason == Reason.REPORT_MISSING)
    token = status.run_token or ""
    return f"{token}/{lost}" if lost and stage == "prepare" else token
