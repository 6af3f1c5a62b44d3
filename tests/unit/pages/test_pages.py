"""What all pages have in common: colours that can be read in both schemes, and axes that hold their values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lora_pages
from lora_pages.charts import Series, line_chart
from lora_pages.drawing import Scale, logarithmic_ticks
from lora_pages.points import Point

STYLE = (Path(lora_pages.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in re.findall(r":root \{([^}]*)\}", STYLE)
)


def luminance(colour: str) -> float:
    """The relative luminance of a colour, as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_texts_and_lines_stand_out_in_both_schemes(colours: dict[str, str]) -> None:
    for ground in ("page", "card", "good-wash"):
        assert contrast(colours["ink"], colours[ground]) >= 4.5
    for ground in ("page", "card"):
        assert contrast(colours["soft"], colours[ground]) >= 4.5
    for line in ("a", "b", "c", "d", "e", "f", "g", "good"):
        assert contrast(colours[line], colours["card"]) >= 3


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0068, 0.41, [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]),
        (1, 1, [1, 2]),
        (0.001, 1000, [0.001, 0.01, 0.1, 1, 10, 100, 1000]),
    ],
)
def test_logarithmic_ticks_enclose_the_values(low: float, high: float, ticks: list[float]) -> None:
    assert logarithmic_ticks(low, high) == pytest.approx(ticks)


def test_a_logarithmic_scale_places_values_by_their_ratio() -> None:
    scale = Scale(0.01, 1, 200, 0, logarithmic=True)

    assert [scale(value) for value in (0.01, 0.1, 1)] == pytest.approx([200, 100, 0])


def test_values_that_are_not_above_zero_are_drawn_on_a_linear_axis() -> None:
    drawn = line_chart([Series("x", "a", [Point(1, 0.0), Point(2, 4.0)])], title="t", logarithmic=True)

    assert "polyline" in drawn
    assert "nan" not in drawn
