"""Axes of the fields that a sweep varies, and the trials along them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lora_cli.page.loss_charts import CHOSEN
from lora_cli.sweep import Sweep
from lora_cli.text.figures import figure, number_of
from lora_cli.text.sweep_table import Measure
from lora_pages.drawing import LEFT, Scale, logarithmic_ticks, nice_ticks, svg, text_at, value_grid, value_labels

_WIDTH, _HEIGHT, _TOP, _BOTTOM = 720, 320, 40, 20
_PLOT_WIDTH, _PLOT_HEIGHT = 360, 230
#: Labels of values beside one axis; characters of a label, and of an axis' title.
_MOST_LABELS, _LONGEST_LABEL, _LONGEST_TITLE = 16, 16, 22


@dataclass(frozen=True)
class TrialPoint:
    """A trial that was measured. `style`: its style class; `parameters`: values by path of the field."""

    name: str
    parameters: Mapping[str, str]
    value: float
    style: str

    @property
    def words(self) -> str:
        """What is shown where somebody points at it."""
        fields = ", ".join(f"{path} {value}" for path, value in self.parameters.items())
        return f"{self.name}: {figure(self.value)}; {fields or 'the template as it is'}"


def measured_points(sweep: Sweep, measure: Measure, chosen: str | None) -> list[TrialPoint]:
    """Collect the trials that were measured; the chosen one comes last, so that it is drawn over the others."""
    points = [
        TrialPoint(trial.name, trial.parameters, measure.values[trial.name], CHOSEN if trial.name == chosen else "a")
        for trial in sweep.status.trials
        if trial.name in measure.values
    ]
    return sorted(points, key=lambda point: point.style == CHOSEN)


def scatter(points: Sequence[TrialPoint], path: str, measure: Measure) -> Markup:
    """Draw the trials by the value of one field; values stand side by side, as far apart as they are many."""
    values = _values(points, path)
    y = _value_scale(points, _PLOT_HEIGHT - 34, 14)
    step = (_PLOT_WIDTH - LEFT - 16) / max(len(values), 1)
    places = {value: LEFT + (index + 0.5) * step for index, value in enumerate(values)}
    body = value_grid(_ticks(points), y, right=_PLOT_WIDTH - 16)
    every = math.ceil(
        len(values) / max(1, int((_PLOT_WIDTH - LEFT) / (7 * max(map(len, map(_label, values)), default=1))))
    )
    for index, value in enumerate(values):
        if index % every == 0:
            body += text_at(_label(value), places[value], _PLOT_HEIGHT - 14, anchor="middle")
    body += Markup().join(_dot(point, places[point.parameters.get(path, "")], y(point.value)) for point in points)
    return svg(f"{measure.name} of trials by {path}", body, width=_PLOT_WIDTH, height=_PLOT_HEIGHT)


def parallel_axes(points: Sequence[TrialPoint], fields: Sequence[str], measure: Measure) -> Markup:
    """Draw each trial as a line over an axis for each field, to the one of what it came to."""
    y = _value_scale(points, _HEIGHT - _BOTTOM, _TOP)
    across = Scale(0, len(fields), 80, _WIDTH - 80)
    heights = {path: _heights(_values(points, path)) for path in fields}
    body, labels = Markup(), Markup()
    for index, path in enumerate((*fields, measure.name)):
        body += Markup('<line class="axis" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(
            across(index), _TOP, _HEIGHT - _BOTTOM
        )
        labels += text_at(_end_of(path), across(index), 18, anchor="middle")
    for index, path in enumerate(fields):
        every = math.ceil(len(heights[path]) / _MOST_LABELS)
        for value, height in list(heights[path].items())[::every]:
            labels += text_at(_label(value), across(index) - 8, height + 4, anchor="end")
    for tick, label in zip(_ticks(points), value_labels(_ticks(points), y), strict=True):
        labels += text_at(label, across(len(fields)) + 8, y(tick) + 4, anchor="start")
    for point in points:
        places = [(across(index), heights[path][point.parameters.get(path, "")]) for index, path in enumerate(fields)]
        places.append((across(len(fields)), y(point.value)))
        body += Markup('<polyline class="line {}" points="{}"><title>{}</title></polyline>').format(
            point.style, " ".join(f"{x:.1f},{height:.1f}" for x, height in places), point.words
        )
    body += Markup('<g class="over">{}</g>').format(labels)
    return svg(f"Trials over {', '.join(fields)} and {measure.name.lower()}", body, width=_WIDTH, height=_HEIGHT)


def _dot(point: TrialPoint, x: float, y: float) -> Markup:
    radius = 7 if point.style == CHOSEN else 4.5
    return Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>').format(
        point.style, x, y, radius, point.words
    )


def _values(points: Sequence[TrialPoint], path: str) -> list[str]:
    """Find the values of a field in order: numbers by size, words by the alphabet; empty: as the template has it."""
    values = {point.parameters.get(path, "") for point in points}
    numbers = {value: number_of(value) for value in values}
    return sorted(values, key=lambda value: (numbers[value] is None, numbers[value] or 0.0, value))


def _heights(values: Sequence[str]) -> dict[str, float]:
    span = _HEIGHT - _BOTTOM - _TOP
    return {value: _HEIGHT - _BOTTOM - (index + 0.5) * span / len(values) for index, value in enumerate(values)}


def _logarithmic(points: Sequence[TrialPoint]) -> bool:
    low, high = min(point.value for point in points), max(point.value for point in points)
    return low > 0 and high > 20 * low


def _ticks(points: Sequence[TrialPoint]) -> list[float]:
    low, high = min(point.value for point in points), max(point.value for point in points)
    return logarithmic_ticks(low, high) if _logarithmic(points) else nice_ticks(low, high)


def _value_scale(points: Sequence[TrialPoint], bottom: float, top: float) -> Scale:
    ticks = _ticks(points)
    return Scale(ticks[0], ticks[-1], bottom, top, _logarithmic(points))


def _label(text: str) -> str:
    shown = text or "(template)"
    return shown if len(shown) <= _LONGEST_LABEL else f"{shown[: _LONGEST_LABEL - 1]}…"


def _end_of(path: str) -> str:
    return path if len(path) <= _LONGEST_TITLE else f"…{path[1 - _LONGEST_TITLE :]}"
