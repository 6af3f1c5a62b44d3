"""The report: one HTML file without scripts and without anything from the network."""

from __future__ import annotations

import dataclasses
from functools import cache

import yaml
from jinja2 import Template

from lora_pages import charts, text
from lora_pages.pages import page_environment
from lora_trainer.report.report_input import Comparison, ReportInput, Sample, TextPart

#: Characters of samples in the whole report: at most six bytes each after escaping keeps the file below 2 MB.
_SAMPLE_CHARACTERS = 220_000
_LONGEST_TEXT = 4_000
_MOST_LINES = 100


def render(report: ReportInput) -> str:
    """Render the report as HTML, at most 2 MB; every text in it is escaped, whatever the data holds."""
    report = _bounded(report)
    curves = report.curves
    loss = charts.line_chart(
        [charts.Series("Training", "a", curves.train_loss), charts.Series("Validation", "b", curves.eval_loss)],
        title="Training and validation loss by step",
        marked_step=curves.best_step,
    )
    learning_rate = charts.line_chart(
        [charts.Series("Learning rate", "a", curves.learning_rate)], title="Learning rate by step"
    )
    return _template().render(
        report=report,
        loss_chart=loss,
        learning_rate_chart=learning_rate,
        histogram=charts.histogram(report.data.token_histogram, title="Rows by length in tokens"),
        configuration=yaml.safe_dump(report.spec.dump(), sort_keys=False, allow_unicode=True),
        headline=headline(report),
        best_eval_loss=min((point.value for point in curves.eval_loss), default=None),
    )


def headline(report: ReportInput) -> Comparison | None:
    """Choose the comparison that says most: the first that was measured on both."""
    both = (each for each in report.comparisons if each.base is not None and each.adapter is not None)
    return next(both, None)


def change(comparison: Comparison) -> str:
    """Say how much the adapter differs from the base, in percent with a sign; empty where that cannot be said."""
    if comparison.base is None or comparison.adapter is None or comparison.base == 0:
        return ""
    return f"{(comparison.adapter - comparison.base) / abs(comparison.base) * 100:+.1f} %"


def verdict(comparison: Comparison) -> str:
    """Judge `better`, `worse` or `same`; empty where it was not measured on both, or neither direction is better."""
    if comparison.base is None or comparison.adapter is None or comparison.lower_is_better is None:
        return ""
    if comparison.adapter == comparison.base:
        return "same"
    return "better" if (comparison.adapter < comparison.base) == comparison.lower_is_better else "worse"


def _bounded(report: ReportInput) -> ReportInput:
    limit = min(_LONGEST_TEXT, _SAMPLE_CHARACTERS // (4 * max(len(report.samples), 1)))
    data = dataclasses.replace(report.data, first_example=_cut_example(report.data.first_example))
    return dataclasses.replace(
        report,
        samples=tuple(_cut_sample(sample, limit) for sample in report.samples),
        data=data,
        warnings=tuple(text.cut(warning, 500) for warning in report.warnings[:_MOST_LINES]),
        attempts=report.attempts[-_MOST_LINES:],
    )


def _cut_example(parts: tuple[TextPart, ...]) -> tuple[TextPart, ...]:
    kept: list[TextPart] = []
    left = _LONGEST_TEXT
    for part in parts:
        if left <= 0:
            break
        kept.append(dataclasses.replace(part, text=text.cut(part.text, left)))
        left -= len(part.text)
    return tuple(kept)


def _cut_sample(sample: Sample, limit: int) -> Sample:
    return Sample(
        prompt=text.cut(sample.prompt, limit),
        reference=text.cut(sample.reference, limit),
        base=None if sample.base is None else text.cut(sample.base, limit),
        adapter=text.cut(sample.adapter, limit),
    )


@cache
def _template() -> Template:
    environment = page_environment("lora_trainer.report")
    environment.filters.update(change=change, verdict=verdict)
    return environment.get_template("report.html")
