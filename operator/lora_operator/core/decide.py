"""The one decision of the operator. The checks run in order; the first that returns an outcome decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from lora_operator.core.checks.finished import check_finished
from lora_operator.core.checks.limit_reached import check_limits
from lora_operator.core.checks.refused import check_refused
from lora_operator.core.checks.suspended import check_suspended, record_pause
from lora_operator.core.manifests.network_policy import isolated
from lora_operator.core.observe.facts import facts
from lora_operator.core.observe.observed import Observed
from lora_operator.core.record.attempts import record_attempts
from lora_operator.core.record.progress import record_progress
from lora_operator.core.record.spending import seconds_until_limit
from lora_operator.core.run.decision import ReadObjects, RunDecision, soonest
from lora_operator.core.run.outcome import MustRead, Outcome
from lora_operator.core.run.run import Run, begin
from lora_operator.core.stages.edits import record_edits
from lora_operator.core.stages.loss import absences, must_read
from lora_operator.core.stages.parent import check_parent, record_parent
from lora_operator.core.stages.prepare import check_lost_report, check_prepare
from lora_operator.core.stages.results import check_adopted, record_prepared
from lora_operator.core.stages.sidecars import concluded, kept_jobs
from lora_operator.core.stages.stage_job import stale_jobs
from lora_operator.core.stages.train import check_train
from lora_operator.core.status.conclude import conclude
from lora_operator.settings import Settings


def decide(observed: Observed, settings: Settings, now: datetime) -> RunDecision:
    """Decide what to do about one run, from all that is known of it. Pure: equal arguments give equal decisions."""
    if observed.finetune.deleting:
        return RunDecision(observed.finetune.status)  # ownerReferences clean up
    run = begin(observed, settings, now)
    seen = {fact: observed.first_seen.get(fact, observed.monotonic) for fact in (*facts(observed), *absences(run))}
    return replace(_decide(replace(run, first_seen=seen)), first_seen=seen)


def _decide(run: Run) -> RunDecision:
    if must_read(run):
        return conclude(run, MustRead((ReadObjects(),)))
    if latched := check_finished(run):
        return conclude(run, isolated(run, latched))
    if refusal := check_refused(run):
        return conclude(run, refusal)

    as_seen, run = run, concluded(run)
    run = record_attempts(record_prepared(record_parent(run)))
    run, progress_wait = record_progress(record_edits(record_pause(run)))
    outcome: Outcome = (
        check_adopted(run)
        or check_limits(run)
        or check_suspended(run)
        or check_lost_report(run)
        or check_parent(run)
        or check_prepare(run)
        or check_train(run)
    )

    outcome = isolated(run, replace(outcome, actions=(*stale_jobs(run), *kept_jobs(as_seen, run), *outcome.actions)))
    decision = conclude(run, outcome)
    return replace(decision, requeue_after=soonest(decision.requeue_after, progress_wait, seconds_until_limit(run)))
