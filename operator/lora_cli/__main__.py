"""`kubectl lora`: see and steer fine-tuning runs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lora_cli import view
from lora_cli.cluster import Cluster, CommandError
from lora_cli.files import judge
from lora_contract.outside import shorten

app = typer.Typer(
    name="kubectl lora", help="See and steer LoRA fine-tuning runs.", no_args_is_help=True, add_completion=False
)
Name = Annotated[str, typer.Argument(help="Name of the LoRAFineTune.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace; default: that of the context.")]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig; default: the current one.")]


@app.command()
def status(name: Name, namespace: Namespace = None, context: Context = None) -> None:
    """Show phase, progress, losses, conditions and pods of a run."""
    Console().print(view.summary(Cluster(namespace, context).get(name)))


@app.command("explain-failure")
def explain_failure(name: Name, namespace: Namespace = None, context: Context = None) -> None:
    """Show why a run failed and what to do about it."""
    Console().print(view.failure(Cluster(namespace, context).get(name)))


@app.command()
def suspend(name: Name, namespace: Namespace = None, context: Context = None) -> None:
    """Stop a run after a checkpoint and give its GPU back."""
    Cluster(namespace, context).patch(name, {"suspend": True})
    Console().print(f"{name} is being suspended; `kubectl lora resume {name}` lets it go on from its checkpoint.")


@app.command()
def resume(name: Name, namespace: Namespace = None, context: Context = None) -> None:
    """Let a suspended run go on."""
    Cluster(namespace, context).patch(name, {"suspend": False})
    Console().print(f"{name} goes on.")


@app.command()
def rerun(name: Name, namespace: Namespace = None, context: Context = None) -> None:
    """Run again on purpose: the same spec, a new adapter; the one there is stays."""
    token = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    Cluster(namespace, context).patch(name, {"runToken": token})
    Console().print(f"{name} runs again with runToken {token}.")


@app.command("check-inputs")
def check_inputs(name: Name, namespace: Namespace = None, context: Context = None) -> None:
    """Ask whether the data of a finished run is still what its adapter was trained on."""
    token = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    Cluster(namespace, context).patch(name, {"checkToken": token})
    Console().print(f"The data of {name} is read again; the condition InputsDrifted will tell.")


@app.command()
def validate(
    files: Annotated[
        list[Path], typer.Option("--filename", "-f", help="File or folder with manifests; - for standard input.")
    ],
) -> None:
    """Say of manifests in files what the cluster would refuse, without asking it."""
    verdicts = [verdict for file in files for verdict in judge(file)]
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for verdict in verdicts:
        where = f"{verdict.file}: {verdict.about}".rstrip(": ")
        if not verdict.faults:
            console.print(f"{where} is valid")
        for fault in verdict.faults:
            console.print(f"{where}: {shorten(fault)}")
    if any(verdict.faults for verdict in verdicts):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; errors in one line, exit code 1."""
    try:
        app()
    except CommandError as error:
        Console(stderr=True).print(f"[red]error:[/] {error}", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
