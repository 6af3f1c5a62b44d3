"""Where commands print."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import yaml
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def show(lines: Iterable[Text | str], *, error: bool = False) -> None:
    """Print lines whole: the terminal breaks what is too long for it, so that it can be copied."""
    console = Console(stderr=error, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for line in lines:
        console.print(line)


def show_document(value: Any, form: str) -> None:
    """Print an object as JSON or YAML, exactly; what could move a terminal's cursor is escaped."""
    text = json.dumps(value, indent=2) + "\n" if form == "json" else yaml.safe_dump(value, sort_keys=False)
    sys.stdout.write(text)


def is_terminal() -> bool:
    """Tell whether somebody looks."""
    return sys.stdout.isatty()


class View:
    """Lines that are drawn over what was drawn before."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def draw(self, lines: Iterable[Text]) -> None:
        """Draw."""
        self._live.update(Group(*lines), refresh=True)


@contextmanager
def view(*, keep: bool) -> Iterator[View]:
    """Draw on the terminal until the context ends. `keep`: what was drawn last stays."""
    console = Console(highlight=False, markup=False, emoji=False)
    with Live(console=console, auto_refresh=False, transient=not keep) as live:
        yield View(live)
