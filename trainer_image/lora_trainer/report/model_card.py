"""The model card: README.md beside the adapter, as model hubs and servers read it."""

from __future__ import annotations

from functools import cache
from typing import cast

from huggingface_hub import ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from lora_contract.counts import count, counted
from lora_pages import text
from lora_trainer.report.html import change
from lora_trainer.report.report_input import ReportInput


def render_model_card(report: ReportInput) -> str:
    """Write README.md: metadata that names the base model, then how it was made, how good it is, what it is not."""
    data = ModelCardData(
        base_model=report.spec.model.id,
        library_name="peft",
        pipeline_tag="text-generation",
        license=report.model_license or "unknown",
        model_name=report.name,
        tags=["lora", f"base_model:adapter:{report.spec.model.id}"],
    )
    spec = report.spec
    on_hub = spec.model.source is None
    body = _template().render(report=report, training=spec.training, lora=spec.lora, chat=spec.chat, on_hub=on_hub)
    return f"---\n{cast('str', data.to_yaml())}\n---\n\n{body}"


def in_table(value: object) -> str:
    """Escape a text for one cell of a Markdown table: on one line, without what Markdown or HTML would act on."""
    words = " ".join(str(value).split())
    for character, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        words = words.replace(character, escaped)
    for character in ("\\", "|", "`", "*", "_", "[", "]", "!"):
        words = words.replace(character, f"\\{character}")
    return words


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("lora_trainer.report"),
        autoescape=False,  # noqa: S701 - Markdown; `in_table` escapes what comes from outside
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        cell=in_table, count=count, counted=counted, number=text.number, duration=text.duration, change=change
    )
    return environment.get_template("model_card.md")
