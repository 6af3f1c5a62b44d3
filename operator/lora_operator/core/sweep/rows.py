"""From the runs of a sweep to the rows of its status, and to the best of them."""

from __future__ import annotations

import math

from lora_contract.changes import change_trial
from lora_contract.status import Phase
from lora_contract.sweep import MILESTONES, BestStatus, MilestoneStatus, Trial, TrialPhase, TrialStatus
from lora_operator.core.observe.observed import FineTune
from lora_operator.core.sweep.observed_sweep import ObservedSweep

_STAYS_WITHOUT_RUN = (TrialPhase.COMPLETE, TrialPhase.STOPPED)


def record_rows(observed: ObservedSweep) -> tuple[TrialStatus, ...]:
    """Make a row for each trial, in the order in which they start."""
    known = {row.name: row for row in observed.sweep.status.trials}
    return tuple(_row(trial, known.get(trial.name), observed.run(trial.name)) for trial in observed.sweep.trials)


def is_suspended(run: FineTune) -> bool:
    """Return whether the run's own spec.suspend holds it."""
    return run.spec is not None and run.spec.suspend


def number(text: str | None) -> float | None:
    """Read the number in a decimal string of a status, where it is one and finite."""
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def find_best(observed: ObservedSweep) -> BestStatus | None:
    """Find the best of the complete trials (see `BestStatus`); an earlier find stays though its run is gone."""
    found = [best for trial in observed.sweep.trials if (best := _candidate(trial, observed.run(trial.name)))]
    if (before := observed.sweep.status.best) is not None:
        found.insert(0, before)
    by_accuracy = any(trial.varies_method for trial in observed.sweep.trials)
    return min(found, key=lambda best: _rank(best, by_accuracy=by_accuracy), default=None)


def _rank(best: BestStatus, *, by_accuracy: bool) -> tuple[float, float]:
    loss, accuracy = number(best.best_eval_loss), number(best.best_eval_accuracy) if by_accuracy else 0.0
    return math.inf if accuracy is None else -accuracy, math.inf if loss is None else loss


def _candidate(trial: Trial, run: FineTune | None) -> BestStatus | None:
    if run is None or run.status.phase is not Phase.COMPLETE or run.status.artifact is None:
        return None
    metrics = run.status.metrics
    if metrics is None or metrics.best_eval_loss is None or number(metrics.best_eval_loss) is None:
        return None
    return BestStatus(
        trial=trial.name,
        parameters=trial.parameters,
        best_eval_loss=metrics.best_eval_loss,
        best_eval_accuracy=metrics.best_eval_accuracy,
        test_loss=metrics.test_loss,
        artifact=run.status.artifact,
    )


def _row(trial: Trial, known: TrialStatus | None, run: FineTune | None) -> TrialStatus:
    row = known or TrialStatus(name=trial.name, parameters=trial.parameters)
    if run is None:
        # A run that was deleted before its end is created again; it goes on from its last checkpoint.
        return row if row.phase in _STAYS_WITHOUT_RUN else change_trial(row, phase=TrialPhase.WAITING)
    metrics, artifact = run.status.metrics, run.status.artifact
    row = change_trial(
        row,
        phase=_phase(row, run),
        best_eval_loss=metrics.best_eval_loss if metrics else row.best_eval_loss,
        test_loss=metrics.test_loss if metrics else None,
        artifact_uri=artifact.uri if artifact else None,
    )
    return _with_milestone(row, run)


def _phase(row: TrialStatus, run: FineTune) -> TrialPhase:
    """Return where the run is. One that was stopped may be let go on by hand, and counts then as any other."""
    if row.stopped_at_percent is not None and is_suspended(run) and not run.status.finished:
        return TrialPhase.STOPPED
    return TrialPhase(run.status.phase or Phase.PENDING)


def _with_milestone(row: TrialStatus, run: FineTune) -> TrialStatus:
    """Add the loss at the milestone that the row passed last.

    A milestone that was passed unseen, for instance while the operator was away, stays unknown: the loss of a later
    step in its place would make the others look bad.
    """
    progress = run.status.progress
    percent = progress.percent // 10 * 10 if progress is not None else 0
    if percent not in MILESTONES or row.phase.over or row.best_eval_loss is None:
        return row
    if number(row.best_eval_loss) is None or any(known.percent >= percent for known in row.milestones):
        return row
    milestone = MilestoneStatus(percent=percent, best_eval_loss=row.best_eval_loss)
    return change_trial(row, milestones=[*row.milestones, milestone])
