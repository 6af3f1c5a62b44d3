"""The page of `kubectl lora compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from lora_cli.curves import RunCurves
from lora_cli.page.loss_charts import line_style, loss_chart
from lora_cli.page.template import render
from lora_cli.text.comparison import Comparison


def render_comparison(
    found: Comparison, curves: Mapping[str, RunCurves], *, notes: Sequence[str], now: datetime
) -> str:
    """Render runs side by side as HTML, with their losses over each other.

    `curves`: by name as the comparison has it, of the runs whose curves are known. `notes`: why others' are not.
    """
    styles = {name: line_style(index) for index, name in enumerate(found.names)}
    evaluation = {name: each.evaluation for name, each in curves.items()}
    training = {name: each.training for name, each in curves.items()}
    return render(
        "comparison.html",
        found=found,
        styles=styles,
        charts=[loss_chart("Evaluation loss", evaluation, styles), loss_chart("Training loss", training, styles)],
        notes=[*found.notes, *notes],
        now=now,
    )
