"""The command that shows a sweep: sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lora_cli.commands.options import Context, Form, Namespace, connect
from lora_cli.commands.pages import Open, Page, find_curves, write_page
from lora_cli.commands.results import Endpoint, RunCredentials
from lora_cli.commands.screen import now, show, show_document
from lora_cli.text.sweep_table import sweep_page
from lora_contract import names


def sweep(
    *,
    name: Annotated[str, typer.Argument(help="Name of the LoRASweep.")],
    page: Page = None,
    in_browser: Open = False,
    output: Annotated[Form | None, typer.Option("--output", "-o", help="The object itself.")] = None,
    endpoint: Endpoint = None,
    run_credentials: RunCredentials = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Show the trials of a sweep and the best of them.

    The page has them over the fields that are varied, and their losses along the way, which are read from S3 as
    `download` does.
    """
    runs = connect(namespace, context)
    found = runs.sweep(name)
    if output is not None:
        show_document(dict(found.raw), output)
        return
    trials = {run.name: run for run in runs.read_all(selector=f"{names.LABEL_SWEEP}={name}")}
    show(sweep_page(found, trials))
    if page is None and not in_browser:
        return
    from lora_cli.page.sweep_page import render_sweep  # noqa: PLC0415 - only pages need its templates

    read = find_curves(runs, list(trials.values()), endpoint, run_credentials=run_credentials)
    show(read.notes, error=True)
    html = render_sweep(found, trials, read.curves, notes=read.notes, now=now())
    write_page(html, page or Path(f"{name}-sweep.html"), in_browser=in_browser)


def add_to(app: typer.Typer) -> None:
    """Give the command its name."""
    app.command("sweep")(sweep)
