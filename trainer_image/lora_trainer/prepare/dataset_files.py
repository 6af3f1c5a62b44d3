"""Brings the dataset's files to this machine and computes its digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lora_contract.exit_codes import ExitCode
from lora_contract.identity import digest
from lora_contract.order import Order
from lora_contract.outside import shorten
from lora_trainer.data.dataset import Dataset
from lora_trainer.data.files import DataFile, classify
from lora_trainer.data.profile import FileProfile
from lora_trainer.digests import sha256_of
from lora_trainer.errors import TrainerError, bad_data
from lora_trainer.model_files.blame import about
from lora_trainer.store.protocol import ObjectInfo, Store

MAIN, VALIDATION, TEST = "dataset", "validation", "test"
#: Longest name that an object has in S3, bytes.
_LONGEST_NAME = 1024


@dataclass(frozen=True)
class FetchedDataset:
    """The files on disk, what is known of them before they are read, and the digest of their content."""

    dataset: Dataset
    files: tuple[FileProfile, ...]
    digest: str


def fetch(order: Order, store: Store, into: Path) -> FetchedDataset:
    """Download all files of the dataset.

    Raises:
        TrainerError: an address holds nothing, may not be read, or holds something that is no data file.
    """
    spec = order.spec.dataset
    addresses = (
        (MAIN, "spec.dataset.uri", spec.uri),
        (VALIDATION, "spec.dataset.validationUri", spec.validation_uri),
        (TEST, "spec.dataset.testUri", spec.test_uri),
    )
    parts: dict[str, list[DataFile]] = {}
    profiles: list[FileProfile] = []
    listed = []
    for part, param, address in addresses:
        with about(param, order):
            objects = _objects(store, address, param) if address is not None else []
            listed.append(
                (part, param, [(info, _name(address, info), *classify(_name(address, info))) for info in objects])
            )
    for part, param, objects_of_part in listed:
        parts[part] = []
        for info, name, kind, compression in objects_of_part:
            path = into / f"{len(profiles):06d}"
            with about(param, order):
                store.download(info.uri, path)
            profiles.append(FileProfile(name=name, split=part, sha256=sha256_of(path), size_bytes=info.size))
            parts[part].append(DataFile(name, path, kind, compression))
    dataset = Dataset(parts[MAIN], parts[VALIDATION], parts[TEST])
    return FetchedDataset(dataset, tuple(profiles), dataset_digest(profiles))


def dataset_digest(files: list[FileProfile]) -> str:
    """Digest of the stored content, in the order of the addresses; names and places do not count."""
    return digest({part: [file.sha256 for file in files if file.split == part] for part in (MAIN, VALIDATION, TEST)})


def _objects(store: Store, address: str, param: str) -> list[ObjectInfo]:
    """The object at an address, or the data objects below it; markers such as `_SUCCESS` are passed over."""
    single = None if address.endswith("/") else store.info(address)
    if single is not None:
        return [single]
    below = [info for info in store.list(address.rstrip("/")) if not _is_marker(info)]
    if not below:
        raise TrainerError(
            ExitCode.INPUT_MISSING,
            f"there is nothing at {address}",
            param=param,
            hint="upload the dataset there, or correct the address",
        )
    if all(info.size == 0 for info in below):
        raise bad_data(f"the files below {address} are empty", param=param, hint="put at least one row into them")
    return below


def _is_marker(info: ObjectInfo) -> bool:
    name = info.uri.rstrip("/").rsplit("/", 1)[-1]
    return info.uri.endswith("/") or name.startswith(("_", "."))


def _name(address: str | None, info: ObjectInfo) -> str:
    """What messages and reports call the object: its path below the address, or its own name, printable."""
    prefix = (address or "").rstrip("/") + "/"
    name = info.uri.removeprefix(prefix) if info.uri.startswith(prefix) else info.uri.rsplit("/", 1)[-1]
    return shorten(name.replace("\n", " "), _LONGEST_NAME)
