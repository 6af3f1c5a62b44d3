"""Whether the output may be written."""

from __future__ import annotations

import uuid

from lora_contract import spec_paths
from lora_contract.order import Order
from lora_trainer.store import about
from lora_trainer.store.protocol import Store


def check_output(order: Order, store: Store) -> None:
    """Use every right that the run needs at the output, so that a missing one ends it before a GPU is asked for.

    Raises:
        TrainerError: the output cannot be written.
    """
    folder = f"{order.spec.output.uri.rstrip('/')}/_work/probe-{uuid.uuid4().hex}"
    with about(spec_paths.OUTPUT_URI):
        store.write(f"{folder}/probe", b"may this run write here?\n", content_type="text/plain")
        for probe in store.list(folder):
            store.read(probe.uri)
        store.delete(folder)
