"""What people read of a run: HTML report, model card."""

from __future__ import annotations

from lora_trainer.report.contents import (
    Attempt,
    Bar,
    Comparison,
    Curves,
    DataSection,
    Point,
    ReportInput,
    Sample,
    TextPart,
)
from lora_trainer.report.html import render
from lora_trainer.report.model_card import render_model_card

__all__ = [
    "Attempt",
    "Bar",
    "Comparison",
    "Curves",
    "DataSection",
    "Point",
    "ReportInput",
    "Sample",
    "TextPart",
    "render",
    "render_model_card",
]
