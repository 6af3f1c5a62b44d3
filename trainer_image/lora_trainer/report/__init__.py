"""What people read of a run: HTML report, model card."""

from __future__ import annotations

from lora_pages.points import Bar, Point
from lora_trainer.report.html import render
from lora_trainer.report.model_card import render_model_card
from lora_trainer.report.report_input import (
    Attempt,
    Comparison,
    Curves,
    DataSection,
    ReportInput,
    Sample,
    SourceFigures,
    TextPart,
)

__all__ = [
    "Attempt",
    "Bar",
    "Comparison",
    "Curves",
    "DataSection",
    "Point",
    "ReportInput",
    "Sample",
    "SourceFigures",
    "TextPart",
    "render",
    "render_model_card",
]
