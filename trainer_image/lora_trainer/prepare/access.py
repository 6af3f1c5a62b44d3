"""Whose fault a failed access is, in fields of the spec; and whether the output may be written at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from lora_contract.exit_codes import ExitCode
from lora_contract.order import Order

from lora_trainer.errors import TrainerError
from lora_trainer.store.protocol import Store

PARAM_OUTPUT = "spec.output.uri"


@contextmanager
def about(param: str, order: Order) -> Iterator[None]:
    """Name the field that an error from inside is about: the credentials where access was denied, else `param`."""
    try:
        yield
    except TrainerError as error:
        if error.param is None:
            denied = error.exit_code is ExitCode.ACCESS_DENIED
            account = order.spec.storage.service_account_name
            credentials = "spec.storage.serviceAccountName" if account else "spec.storage.secretName"
            error.param = credentials if denied else param
        raise


def check_output(order: Order, store: Store) -> None:
    """Write and delete a small object below the output, so that missing rights end the run before a GPU is asked for.

    Raises:
        TrainerError: the output cannot be written.
    """
    folder = f"{order.spec.output.uri.rstrip('/')}/_work/probe-{uuid.uuid4().hex}"
    with about(PARAM_OUTPUT, order):
        store.write(f"{folder}/probe", b"may this run write here?\n", content_type="text/plain")
        store.delete(folder)
