"""Commands that fetch what a run published: download, report."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lora_cli.commands.options import Context, Name, Namespace, connect
from lora_cli.commands.screen import is_terminal, show
from lora_cli.errors import CommandError
from lora_cli.run import Run
from lora_cli.text.figures import size
from lora_contract.counts import counted
from lora_contract.layout import REPORT

if TYPE_CHECKING:
    from lora_cli.cluster.runs import Runs
    from lora_cli.storage.adapter import Adapter
    from lora_cli.storage.objects import Objects

Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint", help="S3 as seen from here; default: that of the run, or of AWS_ENDPOINT_URL_S3."),
]
RunCredentials = Annotated[
    bool, typer.Option("--run-credentials", help="Use the keys of the run's Secret, which you must be allowed to read.")
]


def download(
    *,
    name: Name,
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder; default: one of the run's name.")
    ] = None,
    endpoint: Endpoint = None,
    run_credentials: RunCredentials = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Fetch the adapter and check every byte.

    Size and sha256 of each file are held against manifest.json, and that against the status of the run, while it is
    read. S3 is asked with your own credentials (AWS_PROFILE, environment). What is there already is not read again.
    """
    adapter = _adapter(connect(namespace, context), name, endpoint, run_credentials=run_credentials)
    folder = folder or Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{folder} cannot be made: {error.strerror}") from None
    for file in adapter.names:
        read = adapter.fetch(file, folder / file)
        show([f"{folder / file}  {size(adapter.size(file))}" + ("" if read else ", was there already")])
    adapter.write_manifest(folder)
    show([f"The adapter in {folder} is whole: {counted(len(adapter.names), 'file')}, each as its manifest says."])


def report(
    *,
    name: Name,
    file: Annotated[Path | None, typer.Option("--output", "-o", help="File; default: NAME-report.html.")] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open it in the browser.")] = False,
    endpoint: Endpoint = None,
    run_credentials: RunCredentials = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Fetch the report of a run, and open it.

    It is one HTML page that needs no network, checked as `download` does. Without a terminal it is not opened.
    """
    adapter = _adapter(connect(namespace, context), name, endpoint, run_credentials=run_credentials)
    file = file or Path(f"{name}-report.html")
    adapter.fetch(REPORT, file)
    show([str(file)])
    if is_terminal() and not no_open:
        webbrowser.open(file.resolve().as_uri())


def _adapter(runs: Runs, name: str, endpoint: str | None, *, run_credentials: bool) -> Adapter:
    from lora_cli.storage.adapter import find_adapter  # noqa: PLC0415 - as in `connect`

    run = runs.get(name)
    if run.status.artifact is None:
        raise CommandError(f"{name} has published no adapter; it is {run.phase}.")
    return find_adapter(objects_of(runs, run, endpoint, run_credentials=run_credentials), run.status.artifact)


def objects_of(runs: Runs, run: Run, endpoint: str | None, *, run_credentials: bool) -> Objects:
    """Open the S3 service of a run, with the user's own credentials or the keys of the run's Secret."""
    from lora_cli.storage.objects import Objects  # noqa: PLC0415 - as in `connect`

    of_run = run.part("storage").get("endpoint")
    keys = _keys(runs, run) if run_credentials else {}
    return Objects(endpoint or (of_run if isinstance(of_run, str) else None), keys)


def _keys(runs: Runs, run: Run) -> Mapping[str, str]:
    secret = run.part("storage").get("secretName")
    if not isinstance(secret, str):
        raise CommandError(f"{run.name} names no Secret (storage.secretName); use your own credentials.")
    return runs.storage_keys(run, secret)


def add_to(app: typer.Typer) -> None:
    """Give the commands their names."""
    app.command("download")(download)
    app.command("report")(report)
