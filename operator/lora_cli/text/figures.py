"""Numbers and times as people read them."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal, InvalidOperation

from lora_contract.counts import count

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def figure(value: str | float | None) -> str:
    """Write a loss or a ratio: 2.412, 0.0097, 9.7e-05; empty where there is none, the text where it is no number."""
    if value is None:
        return ""
    number = number_of(value)
    if number is None:
        return str(value)
    size = abs(number)
    if size == 0:
        return "0"
    if size >= 1000 or size < 0.0005:
        return f"{number:.2g}" if size < 1 else count(round(number))
    return f"{number:.3f}" if size >= 1 else f"{number:.4f}"


def share(value: str | float | None) -> str:
    """Write a share of 1 in percent: 95 %, 99.6 %."""
    number = None if value is None else number_of(value)
    if number is None:
        return "" if value is None else str(value)
    return f"{100 * number:.1f}".removesuffix(".0") + " %"


def number_of(value: str | float) -> float | None:
    """Read a number; None where it is none, or not finite."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def size(count_of_bytes: int) -> str:
    """Write a size: 812 B, 3.4 MiB."""
    number, unit = float(count_of_bytes), 0
    while number >= 1023.95 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{count_of_bytes} B" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """Write a time span by its two largest units: 34 s, 2 min 5 s, 3 h 12 min, 2 d 4 h."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= length or parts:
            parts.append(f"{left // length} {unit}" if left >= length else "")
            left %= length
    return " ".join(part for part in parts[:2] if part) or "0 s"


def age(since: datetime | None, now: datetime) -> str:
    """Write how long ago something was, by its largest unit: 34 s ago, 2 min ago; empty where that is not known."""
    return "" if since is None else f"{span(since, now)} ago"


def span(start: datetime, end: datetime) -> str:
    """Write the largest unit of a time span: 34 s, 2 min, 5 h, 12 d."""
    seconds = max(0, int((end - start).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length * (2 if unit != "min" else 1):
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def money(cost: str | None, currency: str | None) -> str:
    """Write a cost with two decimals, or as many as its first digit needs: 12.40 EUR."""
    if cost is None:
        return ""
    try:
        amount = Decimal(cost)
        text = f"{amount:,.2f}" if not amount or abs(amount) >= Decimal("0.005") else f"{amount:.4f}"
    except (InvalidOperation, ValueError):
        text = cost
    return f"{text} {currency or ''}".rstrip()


def bar(percent: int, width: int = 24) -> str:
    """Draw progress: [######------]."""
    done = min(max(percent, 0), 100) * width // 100
    return f"[{'#' * done}{'-' * (width - done)}]"
