"""The page of `kubectl lora sweep`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from markupsafe import Markup

from lora_cli.curves import RunCurves
from lora_cli.page.field_axes import measured_points, parallel_axes, scatter
from lora_cli.page.loss_charts import CHOSEN, FAINT, MOST_LINES, line_style, loss_chart
from lora_cli.page.template import render
from lora_cli.run import Run
from lora_cli.sweep import Sweep
from lora_cli.text.figures import number_of
from lora_cli.text.sweep_table import gpu_time, measure_of, sweep_facts, trial_note
from lora_contract.sweep import TrialStatus
from lora_pages.points import Point

#: Fields with a plot of their own.
_MOST_PLOTS = 12


def render_sweep(
    sweep: Sweep, runs: Mapping[str, Run], curves: Mapping[str, RunCurves], *, notes: Sequence[str], now: datetime
) -> str:
    """Render a sweep as HTML: its trials over the fields that are varied, their losses along the way, the best.

    `runs` and `curves`: by name of the trial, of those that are known. `notes`: why the curves of others are not.
    """
    measure, best = measure_of(sweep, runs), sweep.best
    chosen = None if best is None else best.name
    points = measured_points(sweep, measure, chosen)
    styles = trial_styles(sweep.status.trials, chosen)
    return render(
        "sweep.html",
        sweep=sweep,
        best=best,
        measure=measure,
        facts=dict(sweep_facts(sweep, runs)),
        rows=[_row(trial, runs.get(trial.name), is_best=trial is best) for trial in sweep.status.trials],
        parallel=parallel_axes(points, sweep.fields, measure) if points and len(sweep.fields) > 1 else Markup(),
        plots=[(path, scatter(points, path, measure)) for path in sweep.fields[:_MOST_PLOTS]] if points else [],
        charts=[
            loss_chart("Evaluation loss", {name: each.evaluation for name, each in curves.items()}, styles),
            loss_chart(
                "Lowest evaluation loss so far",
                {trial.name: _milestones(trial) for trial in sweep.status.trials},
                styles,
                unit="by share of a trial's steps in percent",
                along="{} % of its steps",
            ),
        ],
        not_measured=[trial.name for trial in sweep.status.trials if trial.name not in measure.values],
        notes=notes,
        now=now,
    )


def trial_styles(trials: Sequence[TrialStatus], chosen: str | None) -> dict[str, str]:
    """Choose how the line of each trial is drawn, the chosen one last; where they are many the others are faint."""
    others = [trial.name for trial in trials if trial.name != chosen]
    many = len(others) > MOST_LINES - 1
    styles = {name: FAINT if many else line_style(index) for index, name in enumerate(others)}
    return styles if chosen is None else styles | {chosen: CHOSEN}


def _milestones(trial: TrialStatus) -> list[Point]:
    read = [(each.percent, number_of(each.best_eval_loss)) for each in trial.milestones]
    return [Point(percent, loss) for percent, loss in sorted(read) if loss is not None and 0 < percent <= 100]


def _row(trial: TrialStatus, run: Run | None, *, is_best: bool) -> dict[str, str | bool | TrialStatus]:
    return {
        "trial": trial,
        "gpu_time": gpu_time(run),
        "note": trial_note(trial, is_best=is_best),
        "is_best": is_best,
    }
