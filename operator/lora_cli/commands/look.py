"""Commands that show runs: list, status, watch, top."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.text import Text

from lora_cli.commands.options import Context, Everywhere, Form, Interval, Name, Namespace, Selector, connect
from lora_cli.commands.screen import is_terminal, now, show, show_document, view
from lora_cli.errors import CommandError
from lora_cli.event import Event
from lora_cli.run import Run
from lora_cli.text.gpu_table import gpu_table
from lora_cli.text.run_list import SortKey, run_list, sorted_runs
from lora_cli.text.run_page import live_page, progress_line, run_page
from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.status import Phase

if TYPE_CHECKING:
    from lora_cli.cluster.runs import Runs

Found = TypeVar("Found")


class ListForm(StrEnum):
    """Forms of a list."""

    JSON = "json"
    YAML = "yaml"
    WIDE = "wide"
    NAME = "name"


def list_runs(
    *,
    namespace: Namespace = None,
    everywhere: Everywhere = False,
    phases: Annotated[
        list[Phase] | None, typer.Option("--phase", case_sensitive=False, help="Only runs in this phase; repeatable.")
    ] = None,
    selector: Selector = "",
    sort: Annotated[
        SortKey, typer.Option("--sort", help="What comes first: the youngest, the lowest loss.")
    ] = SortKey.NAME,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, and show what changes.")] = False,
    interval: Interval = 2,
    output: Annotated[ListForm | None, typer.Option("--output", "-o", help="Other form than a table.")] = None,
    context: Context = None,
) -> None:
    """List runs, a line each."""
    runs = connect(namespace, context)

    def read() -> list[Run]:
        found = runs.read_all(everywhere=everywhere, selector=selector)
        return sorted_runs((run for run in found if not phases or run.phase in phases), sort)

    def lines(found: Sequence[Run], *, head: bool = True) -> list[Text]:
        return run_list(found, now(), wide=output is ListForm.WIDE, namespaces=everywhere, head=head)

    if watch and output not in (None, ListForm.WIDE):
        raise CommandError("--watch shows a table; leave out --output, or say --output wide.")
    if watch:
        _watch_list(read, lines, interval)
        return
    found = read()
    if output in (ListForm.JSON, ListForm.YAML):
        items = [dict(run.raw) for run in found]
        show_document({"apiVersion": "v1", "kind": "List", "items": items}, output)
    elif output is ListForm.NAME:
        show(f"{names.SINGULAR}.{names.GROUP}/{run.name}" for run in found)
    elif found:
        show(lines(found))
    else:
        where = "any namespace" if everywhere else f"namespace {runs.namespace}"
        show([f"There are no {'such ' if phases or selector else ''}runs in {where}."], error=True)


def _watch_list(read: Callable[[], list[Run]], lines: Callable[..., list[Text]], interval: float) -> None:
    found = read()
    if is_terminal():
        with view(keep=True) as drawn:
            while True:
                drawn.draw(lines(found))
                found = _after(interval, read, found)
    told: dict[str, str] = {}
    while True:
        changed = [run for run in found if told.get(run.uid) != progress_line(run)]
        if changed:
            show(lines(changed, head=not told))
        told |= {run.uid: progress_line(run) for run in changed}
        found = _after(interval, read, found)


def status(
    *,
    name: Name,
    namespace: Namespace = None,
    output: Annotated[Form | None, typer.Option("--output", "-o", help="The object itself.")] = None,
    context: Context = None,
) -> None:
    """Show everything about a run.

    Phase, progress, losses, GPU, conditions, pods and Events.
    """
    runs = connect(namespace, context)
    run = runs.get(name)
    if output is not None:
        show_document(dict(run.raw), output)
    else:
        show(run_page(run, runs.events(run), now()))


def watch_run(
    *,
    name: Name,
    namespace: Namespace = None,
    interval: Interval = 2,
    context: Context = None,
) -> None:
    """Follow a run to its end.

    Bar, step, losses, time left, place in the queue, GPU and Events; without a terminal each change is a line. The
    exit code is 0 where the run ends Complete, 1 where it does not.
    """
    runs = connect(namespace, context)
    run = runs.get(name)
    run = _watch_drawn(runs, run, interval) if is_terminal() else _watch_told(runs, run, interval)
    show(run_page(run, runs.events(run), now()))
    if not run.status.holds(ConditionType.COMPLETE):
        raise typer.Exit(1)


def _watch_drawn(runs: Runs, run: Run, interval: float) -> Run:
    with view(keep=False) as drawn:
        while not _over(run):
            drawn.draw(live_page(run, runs.events(run), now()))
            run = _after(interval, partial(_again, runs, run), run)
    return run


def _watch_told(runs: Runs, run: Run, interval: float) -> Run:
    told, known = "", {event.uid for event in runs.events(run)}
    while True:
        if (words := progress_line(run)) != told:
            show([f"{now():%H:%M:%S} {words}"])
            told = words
        if _over(run):
            return run
        for event in runs.events(run):
            if event.uid not in known:
                known.add(event.uid)
                show([f"{now():%H:%M:%S}   {_words(event)}"])
        run = _after(interval, partial(_again, runs, run), run)


def _words(event: Event) -> str:
    return f"{event.type} {event.reason}: {event.message}"


def _again(runs: Runs, run: Run) -> Run:
    found = runs.get(run.name)
    if found.uid != run.uid:
        raise CommandError(f"{run.name} was deleted; there is a new one of this name now.")
    return found


def _after(interval: float, read: Callable[[], Found], before: Found) -> Found:
    """Read once more after a while; where the cluster does not answer, what was read before."""
    from lora_cli.cluster.api import UnreachableError  # noqa: PLC0415 - as in `connect`

    time.sleep(interval)
    try:
        return read()
    except UnreachableError:
        return before


def _over(run: Run) -> bool:
    return run.status.finished or run.status.refused


def top(
    *,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Only this one; default: all.")] = None,
    selector: Selector = "",
    context: Context = None,
) -> None:
    """Show GPUs held and idle, by namespace.

    Time is that of runs that exist, and of pods that ended; idle: before the first and after the last step.
    """
    runs = connect(namespace, context)
    found = runs.read_all(everywhere=namespace is None, selector=selector)
    if found:
        show(gpu_table(found))
    else:
        show(["There are no runs."], error=True)


def add_to(app: typer.Typer) -> None:
    """Give the commands their names."""
    app.command("list")(list_runs)
    app.command("status")(status)
    app.command("watch")(watch_run)
    app.command("top")(top)
