"""Axes and texts of charts: inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lora_contract.counts import count

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 14, 34


@dataclass(frozen=True)
class Scale:
    """From values to pixels; `logarithmic`: all values are above 0."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Place a value."""
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)


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


def logarithmic_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten that enclose both ends, or the powers alone where those are many."""
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    factors = (1.0,) if high > 2000 * low else (1.0, 2.0, 5.0)
    ticks = [factor * 10.0**exponent for exponent in exponents for factor in factors]
    below = max(tick for tick in ticks if tick <= low * (1 + 1e-9))
    above = min(tick for tick in ticks if tick >= high * (1 - 1e-9) and tick > below)
    return [tick for tick in ticks if below <= tick <= above]


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Write the ticks as text, all in one form: `1,500`, `0.75`, `5.0e-05`."""
    largest = max(abs(tick) for tick in ticks)
    if largest >= 1000:
        return [count(tick) for tick in ticks]
    if largest < 0.001:
        return [f"{tick:.1e}" if tick else "0" for tick in ticks]
    decimals = next(d for d in range(12) if all(abs(round(tick, d) - tick) < 1e-9 for tick in ticks))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def value_labels(ticks: Sequence[float], y: Scale) -> list[str]:
    """Write the ticks of a scale as text."""
    return [f"{tick:g}" for tick in ticks] if y.logarithmic else tick_labels(ticks)


def value_grid(ticks: Sequence[float], y: Scale, *, right: float = WIDTH - RIGHT) -> Markup:
    """Draw a horizontal line with its label at each tick."""
    line = Markup('<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>')
    return Markup().join(
        line.format(LEFT, right, y(tick)) + text_at(label, LEFT - 8, y(tick) + 4, anchor="end")
        for tick, label in zip(ticks, value_labels(ticks, y), strict=True)
    )


def text_at(content: str, x: float, y: float, *, anchor: str) -> Markup:
    """Draw a text."""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, content)


def svg(title: str, body: Markup, *, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    """Make a picture of drawn parts; `title` is read out in its place."""
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(width, height, title, body)
