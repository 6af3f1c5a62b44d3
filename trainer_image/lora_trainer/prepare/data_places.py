"""Where data are read from: the store, the Hugging Face Hub, or volumes of the namespace; the address says which."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from lora_contract import names
from lora_contract import uri as addresses
from lora_contract.order import Order
from lora_trainer.prepare.claim_files import ClaimFiles
from lora_trainer.store.protocol import ObjectInfo, Store


class DataPlace(Protocol):
    """Files at and below one address of data."""

    def info(self, uri: str, /) -> ObjectInfo | None:
        """Return the file at an address; None: there is none."""
        ...

    def list(self, uri: str, /) -> Iterator[ObjectInfo]:
        """Give the files at and below an address, sorted by address."""
        ...

    def download(self, uri: str, path: Path, /) -> None:
        """Write a file to `path`."""
        ...


def open_place(
    address: str, field: str, order: Order, store: Store, *, claims: Path = Path(names.CLAIMS_PATH)
) -> DataPlace:
    """Open the place of an address of data that `field` of the spec holds; `claims` is where volumes are mounted.

    Raises:
        TrainerError: there is no such place here.
    """
    if address.startswith(addresses.HUB):
        from lora_trainer.prepare.hub_dataset import HubDataset  # noqa: PLC0415 - its imports take half a second

        return HubDataset(address, field, order.unavailable_budget_seconds)
    return ClaimFiles(address, field, claims) if address.startswith(addresses.CLAIM) else store
