"""`prepare --check`: whether the data at the addresses is still what a published adapter was trained on."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lora_contract import spec_paths
from lora_contract.exit_codes import ExitCode
from lora_contract.layout import RunLayout
from lora_contract.order import Order
from lora_contract.report import Report
from lora_trainer.errors import TrainerError
from lora_trainer.prepare import dataset_files
from lora_trainer.publish import published_manifest
from lora_trainer.store import about
from lora_trainer.store.protocol import Store


def check(order: Order, store: Store) -> Report:
    """Read all data again and compare its digest with the one in the adapter's manifest; nothing is written.

    Raises:
        TrainerError: the data or the manifest cannot be read.
    """
    with about(spec_paths.OUTPUT_URI):
        published = published_manifest(store, RunLayout(order.spec.output.uri, order.run_id or ""))
    if published is None:
        raise TrainerError(
            ExitCode.INPUT_MISSING,
            f"the adapter of run {order.run_id} is not published at {order.spec.output.uri} any more",
            param=spec_paths.OUTPUT_URI,
            hint="Change spec.runToken to train it again.",
        )
    Path(order.scratch).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="check-", dir=order.scratch) as folder:
        found = dataset_files.fetch(order, store, Path(folder)).digest
    drifted = found != published.manifest.dataset_digest
    return Report(stage="check", run_id=order.run_id, dataset_digest=found, inputs_drifted=drifted)
