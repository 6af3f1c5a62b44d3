"""Losses of several runs in one chart, told apart by colour, and then by dashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lora_pages.charts import Series, line_chart
from lora_pages.points import Point

_COLOURS = "abcdefg"
#: Lines that can be told apart in one chart.
MOST_LINES = 2 * len(_COLOURS)
#: Styles of a line that stands out, and of those that are too many to be told apart.
CHOSEN, FAINT = "chosen", "faint"


@dataclass(frozen=True)
class Chart:
    """A chart with what is said around it; `picture` is empty where there is nothing to draw."""

    title: str
    unit: str
    lines: Sequence[Series]
    picture: Markup

    @property
    def named(self) -> list[Series]:
        """The lines that the legend names."""
        return [line for line in self.lines if line.style != FAINT]


def line_style(index: int) -> str:
    """Return the style classes of a line, of which the style sheet has `MOST_LINES`."""
    colour = _COLOURS[index % len(_COLOURS)]
    return colour if index < len(_COLOURS) else f"{colour} dashed"


def loss_chart(
    title: str,
    points: Mapping[str, Sequence[Point]],
    styles: Mapping[str, str],
    *,
    unit: str = "by optimiser step",
    along: str = "step {}",
) -> Chart:
    """Draw the losses of runs over each other, in the order of `styles`, which has the style classes of each by name.

    The axis is logarithmic where only that shows the small ones. `along`: a point's place in words.
    """
    lines = [Series(name, style, points[name]) for name, style in styles.items() if points.get(name)]
    values = [point.value for line in lines for point in line.points]
    logarithmic = bool(values) and min(values) > 0 and max(values) > 20 * min(values)
    picture = line_chart(lines, title=f"{title} {unit}", along=along, logarithmic=logarithmic)
    return Chart(title, f"{unit}, on a logarithmic scale" if logarithmic else unit, lines, picture)
