"""Taking over what was published before, by this run or another one of the same identity."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from lora_contract.layout import MANIFEST, RunLayout
from lora_contract.order import Order
from lora_contract.report import Report
from lora_contract.status import ArtifactStatus, MetricsStatus
from lora_trainer.publish.manifest import Manifest
from lora_trainer.publish.publisher import clean_up
from lora_trainer.publish.reader import find_published
from lora_trainer.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Adopted:
    """A published adapter and what its manifest says of its quality."""

    artifact: ArtifactStatus
    metrics: MetricsStatus | None
    gate_failed: str | None


def adopt(store: Store, layout: RunLayout) -> Adopted | None:
    """The adapter of this identity, with what a publisher killed before its end left behind removed."""
    artifact = find_published(store, layout)
    if artifact is None:
        return None
    log.info("run %s was published before: %s", layout.run_id, artifact.uri)
    manifest = Manifest.model_validate_json(store.read(f"{artifact.uri}/{MANIFEST}"))
    clean_up(store, layout, artifact)
    return Adopted(artifact, manifest.metrics, manifest.gate_failed)


def adopted_report(order: Order, found: Adopted) -> Report:
    """What a train process says that has nothing to train."""
    return Report(
        stage="train",
        run_id=order.run_id,
        plan=order.plan,
        adopted=True,
        artifact=found.artifact,
        metrics=found.metrics,
        gate_failed=found.gate_failed,
    )
