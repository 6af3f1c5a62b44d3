"""Line charts and histograms as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from lora_contract.counts import count
from lora_pages.drawing import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    logarithmic_ticks,
    nice_ticks,
    svg,
    text_at,
    value_grid,
)
from lora_pages.points import Bar, Point
from lora_pages.text import number

#: More points than pixels show nothing more; they are averaged down to this many.
_MOST_POINTS = 400
_MARKED_POINTS = 60


@dataclass(frozen=True)
class Series:
    """One line: its name in the legend and its style classes, of which the page's style sheet has `a` to `g`."""

    name: str
    style: str
    points: Sequence[Point]


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    marked_step: int | None = None,
    along: str = "step {}",
    logarithmic: bool = False,
) -> Markup:
    """Draw a chart over optimiser steps. Empty without finite points.

    `marked_step` gets a vertical line. `along`: a point's place in words. `logarithmic`: where all values are above 0.
    """
    lines = [Series(each.name, each.style, thinned(each.points)) for each in series]
    points = [point for each in lines for point in each.points]
    if not points:
        return Markup()
    low, high = min(p.value for p in points), max(p.value for p in points)
    logarithmic = logarithmic and low > 0
    ticks = logarithmic_ticks(low, high) if logarithmic else nice_ticks(low, high)
    last = max(*(p.step for p in points), 2)
    x = Scale(1, last, LEFT, WIDTH - RIGHT)
    y = Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP, logarithmic)
    steps = sorted({1, last, *(int(t) for t in nice_ticks(1, last, wanted=6) if 1 < t < last * 0.95)})
    body = value_grid(ticks, y) + _step_axis(steps, x)
    if marked_step is not None and 1 <= marked_step <= last:
        body += Markup('<line class="mark" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(
            x(marked_step), TOP, HEIGHT - BOTTOM
        )
    body += Markup().join(_line(each, x, y, along) for each in lines)
    return svg(title, body)


def histogram(bars: Sequence[Bar], *, title: str) -> Markup:
    """Draw bars of rows by their length in tokens."""
    if not bars:
        return Markup()
    ticks = nice_ticks(0, max(*(bar.rows for bar in bars), 1))
    y = Scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    width = (WIDTH - LEFT - RIGHT) / len(bars)
    every = math.ceil(len(bars) / 10)
    body = value_grid(ticks, y)
    for index, bar in enumerate(bars):
        left, top = LEFT + index * width, y(bar.rows)
        body += Markup(
            '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2">'
            "<title>{} to {} tokens: {} rows</title></rect>"
        ).format(left + 1, top, max(width - 2, 0.5), y(0) - top, count(bar.low), count(bar.high - 1), count(bar.rows))
        if index % every == 0:
            body += text_at(count(bar.low), left, HEIGHT - BOTTOM + 18, anchor="start")
    return svg(title, body)


def thinned(points: Sequence[Point], most: int = _MOST_POINTS) -> list[Point]:
    """Keep at most `most` points: means of neighbours, each at the last step of its group; only finite values count."""
    finite = [point for point in points if math.isfinite(point.value)]
    size = math.ceil(len(finite) / most) if finite else 1
    groups = [finite[start : start + size] for start in range(0, len(finite), size)]
    return [Point(group[-1].step, sum(p.value for p in group) / len(group)) for group in groups]


def _step_axis(steps: Sequence[int], x: Scale) -> Markup:
    apart = [steps[0], *(b for a, b in pairwise(steps) if x(b) - x(a) > 28)]
    return Markup().join(
        text_at(count(step), x(step), HEIGHT - BOTTOM + 18, anchor="end" if step == steps[-1] else "middle")
        for step in apart
    )


def _line(series: Series, x: Scale, y: Scale, along: str) -> Markup:
    if not series.points:
        return Markup()
    path = " ".join(f"{x(point.step):.1f},{y(point.value):.1f}" for point in series.points)
    drawn = Markup('<polyline class="line {}" points="{}"><title>{}</title></polyline>').format(
        series.style, path, series.name
    )
    if len(series.points) > _MARKED_POINTS:
        return drawn
    dot = Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}, {}: {}</title></circle>')
    return drawn + Markup().join(
        dot.format(series.style, x(p.step), y(p.value), series.name, along.format(count(p.step)), number(p.value))
        for p in series.points
    )
