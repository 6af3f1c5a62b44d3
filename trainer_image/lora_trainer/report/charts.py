"""Line charts and histograms as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from lora_contract.counts import count
from lora_trainer.report.report_input import Bar, Point
from lora_trainer.report.text import number

_WIDTH, _HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 14, 34
#: More points than pixels show nothing more; they are averaged down to this many.
_MOST_POINTS = 400
_MARKED_POINTS = 60


@dataclass(frozen=True)
class Series:
    """One line: its name in the legend and its style class, `a` or `b`."""

    name: str
    style: str
    points: Sequence[Point]


@dataclass(frozen=True)
class _Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def line_chart(series: Sequence[Series], *, title: str, marked_step: int | None = None) -> Markup:
    """Draw a chart over optimiser steps; `marked_step` gets a vertical line. Empty without finite points."""
    lines = [Series(each.name, each.style, thinned(each.points)) for each in series]
    points = [point for each in lines for point in each.points]
    if not points:
        return Markup()
    ticks = nice_ticks(min(p.value for p in points), max(p.value for p in points))
    last = max(*(p.step for p in points), 2)
    x = _Scale(1, last, _LEFT, _WIDTH - _RIGHT)
    y = _Scale(ticks[0], ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    steps = sorted({1, last, *(int(t) for t in nice_ticks(1, last, wanted=6) if 1 < t < last * 0.95)})
    body = _grid(ticks, y) + _step_axis(steps, x)
    if marked_step is not None and 1 <= marked_step <= last:
        body += Markup('<line class="mark" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(
            x(marked_step), _TOP, _HEIGHT - _BOTTOM
        )
    body += Markup().join(_line(each, x, y) for each in lines)
    return _svg(title, body)


def histogram(bars: Sequence[Bar], *, title: str) -> Markup:
    """Draw bars of rows by their length in tokens."""
    if not bars:
        return Markup()
    ticks = nice_ticks(0, max(*(bar.rows for bar in bars), 1))
    y = _Scale(ticks[0], ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    width = (_WIDTH - _LEFT - _RIGHT) / len(bars)
    every = math.ceil(len(bars) / 10)
    body = _grid(ticks, y)
    for index, bar in enumerate(bars):
        left, top = _LEFT + index * width, y(bar.rows)
        body += Markup(
            '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2">'
            "<title>{} to {} tokens: {} rows</title></rect>"
        ).format(left + 1, top, max(width - 2, 0.5), y(0) - top, count(bar.low), count(bar.high - 1), count(bar.rows))
        if index % every == 0:
            body += _text(count(bar.low), left, _HEIGHT - _BOTTOM + 18, anchor="start")
    return _svg(title, body)


def thinned(points: Sequence[Point], most: int = _MOST_POINTS) -> list[Point]:
    """Keep at most `most` points: means of neighbours, each at the last step of its group; only finite values count."""
    finite = [point for point in points if math.isfinite(point.value)]
    size = math.ceil(len(finite) / most) if finite else 1
    groups = [finite[start : start + size] for start in range(0, len(finite), size)]
    return [Point(group[-1].step, sum(p.value for p in group) / len(group)) for group in groups]


def nice_ticks(low: float, high: float, *, wanted: int = 5) -> list[float]:
    """Round numbers, evenly spaced, that enclose both ends."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    rough = (high - low) / wanted
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def _grid(ticks: Sequence[float], y: _Scale) -> Markup:
    line = Markup('<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>')
    return Markup().join(
        line.format(_LEFT, _WIDTH - _RIGHT, y(tick)) + _text(label, _LEFT - 8, y(tick) + 4, anchor="end")
        for tick, label in zip(ticks, tick_labels(ticks), strict=True)
    )


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Write the ticks as text, all in one form: `1,500`, `0.75`, `5.0e-05`."""
    largest = max(abs(tick) for tick in ticks)
    if largest >= 1000:
        return [count(tick) for tick in ticks]
    if largest < 0.001:
        return [f"{tick:.1e}" if tick else "0" for tick in ticks]
    decimals = next(d for d in range(12) if all(abs(round(tick, d) - tick) < 1e-9 for tick in ticks))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def _step_axis(steps: Sequence[int], x: _Scale) -> Markup:
    apart = [steps[0], *(b for a, b in pairwise(steps) if x(b) - x(a) > 28)]
    return Markup().join(
        _text(count(step), x(step), _HEIGHT - _BOTTOM + 18, anchor="end" if step == steps[-1] else "middle")
        for step in apart
    )


def _line(series: Series, x: _Scale, y: _Scale) -> Markup:
    if not series.points:
        return Markup()
    path = " ".join(f"{x(point.step):.1f},{y(point.value):.1f}" for point in series.points)
    drawn = Markup('<polyline class="line {}" points="{}"/>').format(series.style, path)
    if len(series.points) > _MARKED_POINTS:
        return drawn
    dot = Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}, step {}: {}</title></circle>')
    return drawn + Markup().join(
        dot.format(series.style, x(p.step), y(p.value), series.name, count(p.step), number(p.value))
        for p in series.points
    )


def _text(content: str, x: float, y: float, *, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, content)


def _svg(title: str, body: Markup) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(_WIDTH, _HEIGHT, title, body)
