"""How a page is rendered from a template."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from lora_contract.counts import count, counted
from lora_pages import text


def page_environment(package: str) -> Environment:
    """Make the templates of a package ready, which may extend `page.html`: every text in them is escaped."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("lora_pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=count,
        counted=counted,
        number=text.number,
        duration=text.duration,
        size=text.size,
        cut=text.cut,
    )
    return environment
