"""Taking over what was published before, by this run or another one of the same identity."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lora_contract.layout import RunLayout
from lora_contract.names import Stage
from lora_contract.report import Report
from lora_contract.status import ArtifactStatus, MetricsStatus, PlanStatus
from lora_trainer.publish.publisher import clean_up
from lora_trainer.publish.reader import is_whole, published_manifest
from lora_trainer.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Adopted:
    """A published adapter and what its manifest says of its quality, and of its training."""

    artifact: ArtifactStatus
    metrics: MetricsStatus | None
    gate_failed: str | None
    warnings: tuple[str, ...] = ()


def adopt(store: Store, layout: RunLayout) -> Adopted | None:
    """Find the adapter of this identity, and remove what a publisher killed before its end left behind."""
    found = published_manifest(store, layout)
    if found is None or not is_whole(store, found):
        return None
    log.info("run %s was published before: %s", layout.run_id, found.prefix)
    clean_up(store, layout, found.artifact)
    manifest = found.manifest
    return Adopted(found.artifact, manifest.metrics, manifest.gate_failed, tuple(manifest.warnings))


def adopted_report(stage: Stage, run_id: str | None, plan: PlanStatus | None, found: Adopted) -> Report:
    """Make the report of a process that finds nothing left to do; it repeats what the manifest warns of."""
    return Report(
        stage=stage,
        run_id=run_id,
        plan=plan,
        adopted=True,
        artifact=found.artifact,
        metrics=found.metrics,
        gate_failed=found.gate_failed,
        warnings=list(found.warnings),
    )
