"""Numbers and long texts as people read them."""

from __future__ import annotations

from lora_contract.counts import counted


def number(value: float | None, digits: int = 4) -> str:
    """Write a measured number to some significant digits; a dash where there is none."""
    if value is None:
        return "–"  # noqa: RUF001 - an en dash is meant
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e+" in text else text


def duration(seconds: float) -> str:
    """Write a time as `42 s`, `5 min 03 s`, `2 h 05 min`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"


def size(number_of_bytes: float) -> str:
    """Write a size as `13.2 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number_of_bytes < 1024 or unit == "GiB":
            return f"{number_of_bytes:.0f} {unit}" if unit == "B" else f"{number_of_bytes:.1f} {unit}"
        number_of_bytes /= 1024
    raise AssertionError


def cut(text: str, limit: int) -> str:
    """Cut a text to at most `limit` characters, with a note of how many are left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]} … ({counted(len(text) - limit, 'more character')})"
