"""The chain of adapters that a run stands in, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from lora_cli.run import Run
from lora_cli.text.figures import figure
from lora_cli.text.lines import state, table
from lora_contract.lineage import Ancestor
from lora_contract.status import MetricsStatus

_DIGITS = 12
_GONE = "not in the namespace"


@dataclass(frozen=True)
class Link:
    """One adapter of a chain. `where`: the phase of its run, or that there is no such run here."""

    name: str
    where: str
    uri: str = ""
    digest: str = ""
    metrics: MetricsStatus | None = None


def link_of_run(run: Run) -> Link:
    """Make the link of a run that exists."""
    artifact = run.status.artifact
    if artifact is None:
        return Link(run.name, run.phase, metrics=run.status.metrics)
    return Link(run.name, run.phase, artifact.uri, artifact.manifest_digest, run.status.metrics)


def link_of_ancestor(ancestor: Ancestor, metrics: MetricsStatus | None = None) -> Link:
    """Make the link of an adapter that only manifests tell of."""
    return Link(ancestor.name, _GONE, ancestor.uri, ancestor.manifest_digest, metrics)


def lineage_table(links: Sequence[Link]) -> list[Text]:
    """Lay out a chain, the youngest first."""
    rows = [
        (
            link.name,
            state(link.where),
            "" if link.metrics is None or link.metrics.test_loss is None else figure(link.metrics.test_loss),
            link.digest[:_DIGITS],
            link.uri,
        )
        for link in links
    ]
    return table(("RUN", "PHASE", "TEST LOSS", "MANIFEST", "ADAPTER"), rows, right=frozenset({2}))
