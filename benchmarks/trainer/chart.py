"""A bar chart of the comparison, one panel a figure, as an SVG of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _BAR, _GAP, _HEAD, _NAMES = 720, 22, 8, 34, 170
_OURS, _OTHERS, _TEXT, _FAINT = "#0b7285", "#adb5bd", "#212529", "#868e96"


@dataclass(frozen=True)
class Panel:
    """One figure of every variant."""

    title: str
    values: Mapping[str, float]
    #: How a value is written behind its bar.
    form: str


def draw(panels: Sequence[Panel], *, ours: str) -> str:
    """The SVG; bars of `ours` in colour."""
    parts: list[str] = []
    top = 0
    for panel in panels:
        parts.append(_text(0, top + 20, panel.title, _TEXT, weight="600"))
        top += _HEAD
        largest = max(panel.values.values())
        for name, value in panel.values.items():
            length = max(2.0, value / largest * (_WIDTH - _NAMES - 120))
            colour = _OURS if name == ours else _OTHERS
            middle = top + _BAR * 0.7
            parts.append(_text(_NAMES - 8, middle, name, _TEXT, anchor="end"))
            parts.append(f'<rect x="{_NAMES}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>')
            parts.append(_text(_NAMES + length + 6, middle, panel.form.format(value), _FAINT))
            top += _BAR + _GAP
        top += _GAP
    body = "\n".join(parts)
    form = 'font-family="sans-serif" font-size="13"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" {form}>\n'
        f'<rect width="{_WIDTH}" height="{top}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, content: str, colour: str, *, anchor: str = "start", weight: str = "400") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(content)}</text>"
    )
