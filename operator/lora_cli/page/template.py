"""Templates of the pages."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment

from lora_cli.text.figures import duration, figure
from lora_pages.pages import page_environment
from lora_pages.text import cut

#: Longest text of one cell, in characters: prompts and messages are longer than anybody compares.
_LONGEST = 600


def render(name: str, **values: Any) -> str:
    """Render one of the templates beside this file."""
    return _environment().get_template(name).render(values)


@cache
def _environment() -> Environment:
    environment = page_environment("lora_cli.page")
    environment.filters.update(figure=figure, span=duration, cell=lambda text: cut(text, _LONGEST))
    return environment
