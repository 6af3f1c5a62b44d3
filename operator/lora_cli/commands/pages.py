"""What commands that write a page have in common: its options, the curves of runs, and where it goes."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lora_cli.commands.results import objects_of
from lora_cli.commands.screen import show
from lora_cli.curves import LARGEST, RunCurves, parse_curves
from lora_cli.errors import CommandError
from lora_cli.run import Run
from lora_contract.layout import METRICS

if TYPE_CHECKING:
    from lora_cli.cluster.runs import Runs

Page = Annotated[Path | None, typer.Option("--page", help="Write one offline HTML page into this file as well.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser; without --page it gets a name.")]
#: Failures in a row after which no more of S3 is asked: an address or credentials are wrong for all.
_ENOUGH_FAILURES = 2


@dataclass(frozen=True)
class CurvesFound:
    """Curves by name of the run, and why those of others are not known."""

    curves: Mapping[str, RunCurves]
    notes: Sequence[str]


def find_curves(runs: Runs, wanted: Sequence[Run], endpoint: str | None, *, run_credentials: bool) -> CurvesFound:
    """Read the losses of runs from metrics.jsonl beside their adapters; what cannot be read becomes a note."""
    from lora_cli.storage.adapter import find_adapter  # noqa: PLC0415 - as in `connect`

    curves: dict[str, RunCurves] = {}
    notes: list[str] = []
    failures = 0
    for run in wanted:
        if run.status.artifact is None or failures >= _ENOUGH_FAILURES:
            continue
        try:
            objects = objects_of(runs, run, endpoint, run_credentials=run_credentials)
            content = find_adapter(objects, run.status.artifact).read(METRICS, LARGEST)
        except CommandError as error:
            notes.append(f"The curves of {run.name} are not known: {error}")
            failures += 1
        else:
            curves[run.name] = parse_curves(content)
            failures = 0
    without = [run.name for run in wanted if run.status.artifact is None]
    if without:
        notes.append(f"Without an adapter there are no curves in S3 yet: {', '.join(without)}.")
    if failures >= _ENOUGH_FAILURES:
        notes.append("No more curves were asked for after these failures.")
    return CurvesFound(curves, notes)


def write_page(html: str, path: Path, *, in_browser: bool) -> None:
    """Write a page, in place of one that was there, and open it.

    Raises:
        CommandError: it cannot be written.
    """
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
    show([str(path)])
    if in_browser:
        webbrowser.open(path.resolve().as_uri())
