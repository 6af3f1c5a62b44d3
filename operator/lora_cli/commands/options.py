"""What several commands take."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lora_cli.errors import CommandError

if TYPE_CHECKING:
    from lora_cli.cluster.runs import Runs


def connect(namespace: str | None, context: str | None) -> Runs:
    """Reach for the runs of a namespace; without one, of that of the context.

    Raises:
        CommandError: the kubeconfig cannot be used.
    """
    from lora_cli.cluster.api import Api  # noqa: PLC0415 - what needs no cluster does not load its client
    from lora_cli.cluster.runs import Runs  # noqa: PLC0415

    return Runs(Api(context), namespace)


def names_of_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a run; without a cluster there is nothing to offer."""
    given: Mapping[str, Any] = ctx.params
    try:
        runs = connect(given.get("namespace"), given.get("context")).read_all()
    except CommandError:
        return []
    return [run.name for run in runs if run.name.startswith(incomplete)]


class Form(StrEnum):
    """Forms of one object for programs."""

    JSON = "json"
    YAML = "yaml"


Name = Annotated[str, typer.Argument(help="Name of the LoRAFineTune.", autocompletion=names_of_runs)]
Names = Annotated[list[str], typer.Argument(help="Names of LoRAFineTunes.", autocompletion=names_of_runs)]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace; default: that of the context.")]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig; default: the current one.")]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Runs of all namespaces.")]
Selector = Annotated[str, typer.Option("--selector", "-l", help="Labels, as kubectl takes them: team=a,stage!=test.")]
Interval = Annotated[float, typer.Option("--interval", min=0.1, max=3600, help="Seconds between two looks.")]
