"""The command that shows from which adapters a run descends: lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from lora_cli.commands.options import Context, Name, Namespace, connect
from lora_cli.commands.results import Endpoint, RunCredentials, objects_of
from lora_cli.commands.screen import show
from lora_cli.errors import CommandError
from lora_cli.run import Run
from lora_cli.text.lineage_table import Link, lineage_table, link_of_ancestor, link_of_run
from lora_contract.lineage import Ancestor
from lora_contract.status import ParentStatus

if TYPE_CHECKING:
    from lora_cli.cluster.runs import Runs
    from lora_cli.storage.objects import Objects


def lineage(
    *,
    name: Name,
    endpoint: Endpoint = None,
    run_credentials: RunCredentials = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Show the adapters that a run descends from.

    The youngest first: runs of the namespace by their status; what is not there any more by the manifest of the adapter
    in S3, which is held against its digest and names those above it.
    """
    runs = connect(namespace, context)
    run = runs.get(name)
    links, parent = _in_the_namespace(runs, run)
    problem = None
    if parent is not None:
        try:
            links += _in_storage(objects_of(runs, run, endpoint, run_credentials=run_credentials), parent)
        except CommandError as error:
            links.append(Link(parent.run or "", "not read", parent.uri, parent.manifest_digest))
            problem = CommandError(f"What is above cannot be read: {error}")
    show(lineage_table(links))
    if problem is not None:
        raise problem
    if len(links) == 1:
        awaited = run.part("from").get("run")
        show([f"It waits for the adapter of run {awaited}." if awaited else "It begins with a fresh adapter."])


def _in_the_namespace(runs: Runs, run: Run) -> tuple[list[Link], ParentStatus | None]:
    """Follow the chain over the runs there are; and the first adapter above them, where the chain goes on."""
    published = {each.status.artifact.manifest_digest: each for each in runs.read_all() if each.status.artifact}
    links, parent = [link_of_run(run)], run.status.parent
    while parent is not None and (above := published.pop(parent.manifest_digest, None)) is not None:
        links.append(link_of_run(above))
        parent = above.status.parent
    return links, parent


def _in_storage(objects: Objects, parent: ParentStatus) -> list[Link]:
    """Read an adapter's manifest, and with it all that is known of those above it."""
    from lora_cli.storage.adapter import find_adapter  # noqa: PLC0415 - as in `connect`

    told = find_adapter(objects, parent).lineage
    this = Ancestor(uri=parent.uri, manifest_digest=parent.manifest_digest, run_id="", dataset_digest="", created_at="")
    return [link_of_ancestor(this, told.metrics), *map(link_of_ancestor, told.ancestors or ())]


def add_to(app: typer.Typer) -> None:
    """Give the command its name."""
    app.command("lineage")(lineage)
