"""A sweep as a table: its trials by the fields in which they differ, and the best of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.text import Text

from lora_cli.run import Run
from lora_cli.sweep import Sweep
from lora_cli.text.figures import duration, figure, money, number_of
from lora_cli.text.lines import Cell, facts, state, table
from lora_contract.conditions import ConditionType
from lora_contract.sweep import TrialStatus


@dataclass(frozen=True)
class Measure:
    """What trials are ranked by."""

    name: str
    lower_is_better: bool
    values: Mapping[str, float]
    """By name of the trial, of those that were measured."""


def measure_of(sweep: Sweep, runs: Mapping[str, Run]) -> Measure:
    """Find what the trials of a sweep are ranked by: evaluation loss, or accuracy where a loss means other things."""
    if not any(path.startswith("method.") for path in sweep.fields):
        losses = {trial.name: trial.best_eval_loss for trial in sweep.status.trials}
        return Measure("Evaluation loss", True, _numbers(losses))
    found = {name: run.status.metrics.best_eval_accuracy for name, run in runs.items() if run.status.metrics}
    return Measure("Evaluation accuracy", False, _numbers(found))


def sweep_page(sweep: Sweep, runs: Mapping[str, Run]) -> list[Text]:
    """Lay a sweep out: what is known of it, then a row a trial. `runs`: those of its trials by name, where known."""
    measure, best = measure_of(sweep, runs), sweep.best
    heads = ("TRIAL", *sweep.fields, "PHASE", measure.name.upper(), "TEST LOSS", "GPU TIME", "")
    rows: list[list[Cell]] = [
        [
            trial.name,
            *(trial.parameters.get(path, "") for path in sweep.fields),
            state(str(trial.phase)),
            figure(measure.values.get(trial.name)),
            figure(trial.test_loss),
            gpu_time(runs.get(trial.name)),
            trial_note(trial, is_best=trial is best),
        ]
        for trial in sweep.status.trials
    ]
    right = frozenset(range(len(sweep.fields) + 2, len(sweep.fields) + 5))
    return [*facts(sweep_facts(sweep, runs)), Text(), *table(heads, rows, right=right)]


def sweep_facts(sweep: Sweep, runs: Mapping[str, Run]) -> list[tuple[str, str]]:
    """Tell what is known of a sweep as a whole, by titles; a text is empty where something is not known."""
    usages = [run.status.usage for run in runs.values() if run.status.usage is not None]
    seconds = sum(usage.gpu_seconds for usage in usages)
    costs = [number_of(usage.cost) for usage in usages if usage.cost is not None]
    currencies = {usage.currency for usage in usages if usage.cost is not None}
    known = [cost for cost in costs if cost is not None]
    best = sweep.status.best
    finished = next((each for each in sweep.status.conditions if each.type == ConditionType.FINISHED), None)
    return [
        ("Sweep", f"{sweep.namespace}/{sweep.name}"),
        ("Phase", sweep.phase),
        ("Trials over", sweep.status.summary or ""),
        ("What", "" if finished is None else finished.message),
        ("GPU time", duration(seconds) if seconds else ""),
        ("Cost", money(str(sum(known)), currencies.pop()) if known and len(currencies) == 1 else ""),
        ("Best", "" if best is None else best.trial),
        ("With", "" if best is None else ", ".join(f"{path} {value}" for path, value in best.parameters.items())),
        ("Adapter", "" if best is None else best.artifact.uri),
    ]


def gpu_time(run: Run | None) -> str:
    """Write the time that a trial held GPUs; empty where it is not known."""
    usage = None if run is None else run.status.usage
    return duration(usage.gpu_seconds) if usage is not None and usage.gpu_seconds else ""


def trial_note(trial: TrialStatus, *, is_best: bool) -> str:
    """Say what is special about a trial."""
    if is_best:
        return "best"
    return "" if trial.stopped_at_percent is None else f"stopped at {trial.stopped_at_percent} %"


def _numbers(texts: Mapping[str, str | None]) -> dict[str, float]:
    read = {name: None if text is None else number_of(text) for name, text in texts.items()}
    return {name: number for name, number in read.items() if number is not None}
