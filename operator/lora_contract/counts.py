"""Numbers of things as messages write them."""

from __future__ import annotations


def count(number: float) -> str:
    """Write a whole number with thousands apart: 28,131."""
    return f"{number:,.0f}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Write a number of things: 1 row, 2,048 rows; `many` where the plural does not only add an s."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
