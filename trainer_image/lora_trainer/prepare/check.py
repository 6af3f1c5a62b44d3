"""`prepare --check`: whether the data at the addresses is still what a published adapter was trained on."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import ValidationError

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import RunLayout
from lora_contract.order import Order
from lora_contract.report import Report
from lora_trainer.errors import TrainerError
from lora_trainer.model_files.blame import about
from lora_trainer.prepare import dataset_files
from lora_trainer.prepare.access import PARAM_OUTPUT
from lora_trainer.publish.manifest import Manifest, Pointer
from lora_trainer.store.protocol import Store


def check(order: Order, store: Store) -> Report:
    """Read all data again and compare its digest with the one in the adapter's manifest; nothing is written.

    Raises:
        TrainerError: the data or the manifest cannot be read.
    """
    with about(PARAM_OUTPUT, order):
        trained_on = _manifest(store, RunLayout(order.spec.output.uri, order.run_id or "")).dataset_digest
    Path(order.scratch).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="check-", dir=order.scratch) as folder:
        found = dataset_files.fetch(order, store, Path(folder)).digest
    return Report(stage="check", run_id=order.run_id, dataset_digest=found, inputs_drifted=found != trained_on)


def _manifest(store: Store, layout: RunLayout) -> Manifest:
    """The manifest that the identity points to."""
    try:
        if (pointer := store.read_if_exists(layout.pointer)) is not None:
            content = store.read_if_exists(Pointer.model_validate_json(pointer).manifest)
            if content is not None:
                return Manifest.model_validate_json(content)
    except ValidationError:
        pass  # as good as none
    raise TrainerError(
        ExitCode.INPUT_MISSING,
        f"the adapter of run {layout.run_id} is not published at {layout.output} any more",
        param=PARAM_OUTPUT,
        hint="Change spec.runToken to train it again.",
    )
