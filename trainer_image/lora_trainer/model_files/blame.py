"""Which field of the spec a failure is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lora_contract.exit_codes import ExitCode
from lora_contract.order import Order
from lora_trainer.errors import TrainerError


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
