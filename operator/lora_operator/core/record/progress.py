"""From progress reports to `status.progress` and `status.metrics`. Best effort: no result depends on it."""

from __future__ import annotations

from lora_contract import progress as wire
from lora_contract.changes import change_progress, join_metrics
from lora_contract.progress import TrainerStatus
from lora_contract.status import MetricsStatus, Phase, ProgressStatus
from lora_contract.times import format_time, parse_time
from lora_operator.core.observe.observed import Progress
from lora_operator.core.observe.pod import Pod
from lora_operator.core.observe.sight import Fact, Sight
from lora_operator.core.run import limits
from lora_operator.core.run.run import Run


def record_progress(run: Run) -> tuple[Run, float | None]:
    """Record the latest progress; the seconds until progress that is held back now may be written."""
    progress = current(run)
    if progress is None or not run.prepared:
        return run, None
    shown = run.status.progress
    last = parse_time(shown.last_update_time) if shown else None
    if last is not None and progress.received.replace(microsecond=0) < last:
        return run, None
    wait = 0.0
    if shown is not None and last is not None:
        wait = limits.PROGRESS_INTERVAL - run.seen_for(Fact(Sight.PROGRESS, shown.last_update_time or ""))
    if wait > 0 and not (publishing(run) and run.before.phase != Phase.PUBLISHING):
        return run, wait
    new = _progress(run, progress.status, shown, format_time(progress.received))
    if new is None:
        return run, None
    return run.with_status(progress=new, metrics=_metrics(run.status.metrics, progress.status)), None


def current(run: Run) -> Progress | None:
    """Return the latest report, if a pod of this run's train Job made it: an earlier run's is remembered no more."""
    progress = run.observed.progress
    if progress is None or progress.pod not in {pod.name for pod in run.pods("train")}:
        return None
    return progress


def publishing(run: Run) -> bool:
    """Return whether the train pod says that it publishes."""
    progress = current(run)
    return progress is not None and bool(progress.status.number(wire.METRIC_PUBLISHING))


def prepare_progress(run: Run, pod: Pod) -> str:
    """Word how far a prepare pod says it is, in tens of percent: few writes; empty where it says nothing."""
    progress = run.observed.progress
    percent = progress.status.progress_percentage if progress is not None and progress.pod == pod.name else None
    return f" About {percent // 10 * 10} % are done." if percent and percent >= 10 else ""


def finished_progress(shown: ProgressStatus | None, *, step: int, total: int) -> ProgressStatus:
    """Complete the progress of a finished training: the last step, and no time left."""
    base = shown or ProgressStatus(step=0, total_steps=total, percent=0)
    percent = _percent(step, total)
    done = change_progress(base, step=step, total_steps=total, percent=percent, eta=None, eta_seconds=None)
    return change_progress(done, summary=_summary(done))


def in_words(seconds: int) -> str:
    """Write a duration with its two largest units: `45s`, `2m 10s`, `3h 5m`, `2d 4h`."""
    for unit, size, small, small_size in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if seconds >= size:
            return f"{seconds // size}{unit} {seconds % size // small_size}{small}"
    return f"{seconds}s"


def _progress(run: Run, said: TrainerStatus, shown: ProgressStatus | None, received: str) -> ProgressStatus | None:
    """Build the progress to show. Steps never go back within a run: a resumed pod repeats steps that were seen."""
    planned = run.status.plan.total_steps if run.status.plan else 0
    total = said.count(wire.METRIC_TOTAL_STEPS) or planned
    step: float | None = said.count(wire.METRIC_STEP)
    if step is None:  # a stock callback says percent alone
        if said.progress_percentage is None:
            return None
        step = said.progress_percentage * total / 100
    done = max(min(int(step), total), shown.step if shown else 0)
    eta = said.estimated_remaining_seconds
    new = ProgressStatus(
        step=done,
        total_steps=total,
        percent=max(_percent(done, total), shown.percent if shown else 0),
        eta_seconds=eta,
        eta=None if eta is None else in_words(eta),
        tokens_per_second=said.count(wire.METRIC_TOKENS_PER_SECOND),
        last_update_time=received,
    )
    asked = said.count(wire.METRIC_REFERENCE)
    return change_progress(new, summary=_summary(new) if asked is None else f"reference {min(asked, 100)}%")


def _percent(step: int, total: int) -> int:
    return min(100, 100 * step // total) if total > 0 else 0


def _summary(progress: ProgressStatus) -> str:
    return f"{progress.step}/{progress.total_steps} ({progress.percent}%)"


def _metrics(shown: MetricsStatus | None, said: TrainerStatus) -> MetricsStatus:
    measured = MetricsStatus(
        train_loss=_loss(said, wire.METRIC_TRAIN_LOSS),
        eval_loss=_loss(said, wire.METRIC_EVAL_LOSS),
        best_eval_loss=_loss(said, wire.METRIC_BEST_EVAL_LOSS),
        best_step=said.count(wire.METRIC_BEST_STEP),
    )
    return join_metrics(shown, measured)


def _loss(said: TrainerStatus, metric: str) -> str | None:
    value = said.number(metric)
    return None if value is None else f"{value:.4f}"
