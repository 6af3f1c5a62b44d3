"""Commands that explain: explain-failure, compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lora_cli.clean import one_line
from lora_cli.commands.options import Context, Name, Names, Namespace, connect
from lora_cli.commands.pages import Open, Page, find_curves, write_page
from lora_cli.commands.results import Endpoint, RunCredentials
from lora_cli.commands.screen import now, show
from lora_cli.errors import CommandError
from lora_cli.run import Run
from lora_cli.text.comparison import compare, comparison_page
from lora_cli.text.failure import MOST_WORDS, failure_page

if TYPE_CHECKING:
    from lora_cli.cluster.runs import Runs


def explain_failure(*, name: Name, namespace: Namespace = None, context: Context = None) -> None:
    """Explain why a run failed, and what to do.

    Reason and remedy, the pods, the last words of the newest one, and what to do next.
    """
    runs = connect(namespace, context)
    run = runs.get(name)
    show(failure_page(run, now(), _last_words(runs, run) if run.status.error is not None else None))


def _last_words(runs: Runs, run: Run) -> tuple[str, list[str]] | None:
    """Read the end of the log of the newest pod that is still there."""
    try:
        pods = [pod for pod in runs.pods(run) if pod.started]
        if not pods:
            return None
        words = [one_line(line) for line in runs.log(run, pods[-1].name, tail=MOST_WORDS)]
    except CommandError:  # who may not read logs still gets the rest
        return None
    return pods[-1].name, [word for word in words if word]


def compare_runs(
    *,
    run_names: Names,
    page: Page = None,
    in_browser: Open = False,
    endpoint: Endpoint = None,
    run_credentials: RunCredentials = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Compare runs side by side.

    What came of them, and the fields of the spec in which they differ. The page has their losses over each other as
    well, which are read from S3 as `download` does.
    """
    named = list(dict.fromkeys(run_names))
    if len(named) < 2:
        raise CommandError("Name two runs or more to compare.")
    runs = connect(namespace, context)
    found = [runs.get(name) for name in named]
    compared = compare(found)
    show(comparison_page(compared))
    if page is None and not in_browser:
        return
    from lora_cli.page.comparison_page import render_comparison  # noqa: PLC0415 - only pages need its templates
    from lora_cli.page.loss_charts import MOST_LINES  # noqa: PLC0415

    if len(found) > MOST_LINES:
        raise CommandError(f"A page tells {MOST_LINES} runs apart at most; name fewer.")
    read = find_curves(runs, found, endpoint, run_credentials=run_credentials)
    show(read.notes, error=True)
    html = render_comparison(compared, read.curves, notes=read.notes, now=now())
    write_page(html, page or Path("comparison.html"), in_browser=in_browser)


def add_to(app: typer.Typer) -> None:
    """Give the commands their names."""
    app.command("explain-failure")(explain_failure)
    app.command("compare")(compare_runs)
