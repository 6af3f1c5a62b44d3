"""Brings the dataset's files to this machine and computes its digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lora_contract import names, spec_paths
from lora_contract.exit_codes import ExitCode
from lora_contract.identity import digest
from lora_contract.order import Order
from lora_contract.outside import shorten
from lora_trainer.data.profile import FileProfile
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.data.reading.files import DataFile, classify, is_data_name
from lora_trainer.digests import sha256_of
from lora_trainer.errors import TrainerError, bad_data
from lora_trainer.prepare import data_places, folder_contents
from lora_trainer.prepare.data_places import DataPlace
from lora_trainer.store import about
from lora_trainer.store.failures import ObjectReplacedError
from lora_trainer.store.protocol import ObjectInfo, Store

MAIN, VALIDATION, TEST = "dataset", "validation", "test"
#: Longest name that an object has in S3, bytes.
_LONGEST_NAME = 1024
#: Names that a note spells out.
_MOST_NAMES = 5


@dataclass(frozen=True)
class FetchedDataset:
    """The files on disk, what is known of them before they are read, and the digest of their content.

    `notes` are sentences for the user: which files were taken for a held-out split, and which were not read.
    """

    dataset: Dataset
    files: tuple[FileProfile, ...]
    digest: str
    notes: tuple[str, ...] = ()


class _Origin(NamedTuple):
    """A place that data come from: the part they belong to, the field of the spec and the address.

    `source` is the name of a source of dataset.sources, and `label` what stands before the names of its files; both
    are empty for the other places.
    """

    part: str
    param: str
    uri: str
    source: str = ""
    label: str = ""


@dataclass(frozen=True)
class _Listed:
    """An object that is to be read, and where it comes from. `path` is its place below the address, or its name."""

    path: str
    info: ObjectInfo
    origin: _Origin

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.origin.label + self.path


@dataclass(frozen=True)
class _Listing:
    """All objects to be read by part, and what the user should know of how they were chosen."""

    parts: dict[str, list[_Listed]]
    notes: list[str]


def fetch(order: Order, store: Store, into: Path, *, claims: Path = Path(names.CLAIMS_PATH)) -> FetchedDataset:
    """Download all files of the dataset; `claims` is where volumes of the namespace are mounted.

    Raises:
        TrainerError: an address holds nothing, may not be read, or holds something that is no data file; or an object
            changed while it was read.
    """
    places = {
        origin.param: data_places.open_place(origin.uri, origin.param, order, store, claims=claims)
        for origin in _origins(order)
    }
    listing = _list(order, places)
    # Every name is judged before the first byte is read.
    kinds = {each.name: classify(each.name) for objects in listing.parts.values() for each in objects}
    files: dict[str, list[DataFile]] = {part: [] for part in listing.parts}
    profiles: list[FileProfile] = []
    for part, objects in listing.parts.items():
        for each in objects:
            path = into / f"{len(profiles):06d}"
            with about(each.origin.param):
                try:
                    places[each.origin.param].download(each.info.uri, path)
                except ObjectReplacedError as error:
                    raise _changed(each) from error
            source = each.origin.source
            profiles.append(
                FileProfile(
                    name=each.name,
                    split=part,
                    source=source or None,
                    sha256=sha256_of(path),
                    size_bytes=each.info.size,
                )
            )
            files[part].append(DataFile(each.name, path, *kinds[each.name], source=source))
    _check_unchanged(order, places, listing)
    dataset = Dataset(files[MAIN], files[VALIDATION], files[TEST])
    return FetchedDataset(dataset, tuple(profiles), dataset_digest(profiles), tuple(listing.notes))


def dataset_digest(files: list[FileProfile]) -> str:
    """Digest the stored content, in the order of the addresses; names of files and places do not count.

    The files of a source stand below its name.
    """
    sources = sorted({file.source for file in files if file.source is not None})
    content: dict[str, Any] = _digests([file for file in files if file.source is None])
    if sources:
        content["sources"] = {name: _digests([file for file in files if file.source == name]) for name in sources}
    return digest(content)


def _digests(files: Sequence[FileProfile]) -> dict[str, list[str]]:
    return {part: [file.sha256 for file in files if file.split == part] for part in (MAIN, VALIDATION, TEST)}


def _origins(order: Order) -> Iterator[_Origin]:
    """List the places that data come from, in the order in which they are read."""
    spec = order.spec.dataset
    for source in spec.data_sources:
        yield _Origin(MAIN, f"{source.path}.uri", source.uri, source.name, source.label)
    if spec.validation_uri is not None:
        yield _Origin(VALIDATION, spec_paths.DATASET_VALIDATION_URI, spec.validation_uri)
    if spec.test_uri is not None:
        yield _Origin(TEST, spec_paths.DATASET_TEST_URI, spec.test_uri)


def _list(order: Order, places: Mapping[str, DataPlace]) -> _Listing:
    """Look what lies at the addresses, and give each object to a part by its address and its name."""
    listing = _Listing({MAIN: [], VALIDATION: [], TEST: []}, [])
    own = {origin.part: origin.uri for origin in _origins(order) if origin.part != MAIN}
    for origin in _origins(order):
        part, param, uri = origin.part, origin.param, origin.uri
        with about(param):
            objects = [_Listed(_path(uri, info), info, origin) for info in _objects(places[param], uri, param)]
        if len(objects) == 1 and objects[0].info.uri == uri:  # what is named itself is meant as it is
            listing.parts[part].extend(objects)
            continue
        contents = folder_contents.sort([each.path for each in objects], uri, param)
        if len(contents.beside) == len(objects):
            raise bad_data(
                f"there is no data file below {uri}, only {_few(sorted(contents.beside))}",
                param=param,
                hint="upload the rows there, or correct the address",
            )
        held_out = contents.held_out if part == MAIN else {}
        for each in objects:
            split = held_out.get(each.path)
            if each.path not in contents.beside and (split is None or split not in own):
                listing.parts[split or part].append(each)
        listing.notes.extend(_notes(uri, sorted(contents.beside), held_out, own))
    return listing


def _notes(uri: str, beside: Sequence[str], held_out: Mapping[str, str], own: Mapping[str, str]) -> Iterator[str]:
    """Write sentences about the files below an address that are not trained on."""
    for split in (VALIDATION, TEST):
        names = [name for name, each in held_out.items() if each == split]
        if names and split in own:
            yield (
                f"files below {uri} were not read: they are the {split} split by their names,"
                f" for which dataset.{split}Uri is set: {_few(names)}"
            )
        elif names:
            yield f"files below {uri} were taken for the {split} split by their names: {_few(names)}"
    if beside:
        yield (
            f"files below {uri} were not read, as by their names they are not for training"
            f" (a README and its like, or a name or folder that begins with _ or .): {_few(beside)}"
        )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _check_unchanged(order: Order, places: Mapping[str, DataPlace], listing: _Listing) -> None:
    """List again: what was read must be what was there before it was, in all of a dataset's files at once.

    Raises:
        TrainerError: 65, an object was replaced or deleted.
    """
    for origin in _origins(order):
        with about(origin.param):
            now = {info.uri: info for info in _below(places[origin.param], origin.uri)}
        for each in (each for objects in listing.parts.values() for each in objects if each.origin == origin):
            if now.get(each.info.uri) != each.info:
                raise _changed(each)


def _changed(listed: _Listed) -> TrainerError:
    return bad_data(
        f"{listed.name} changed while it was read",
        param=listed.origin.param,
        hint="when the dataset is written, start the run again by a change of spec.runToken;"
        " better, write new data to a new address",
    )


def _below(place: DataPlace, address: str) -> list[ObjectInfo]:
    """List the object at an address, or all below it."""
    single = None if address.endswith("/") else place.info(address)
    return list(place.list(address.rstrip("/"))) if single is None else [single]


def _objects(place: DataPlace, address: str, param: str) -> list[ObjectInfo]:
    """List the object at an address, or the objects below it; markers such as `_SUCCESS` are passed over."""
    found = _below(place, address)
    if len(found) == 1 and found[0].uri == address:
        return found
    below = [info for info in found if not _is_marker(info)]
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
    """Tell whether an object is a folder's own, or one like `_SUCCESS`; hidden files that may hold rows are told of."""
    name = info.uri.rsplit("/", 1)[-1]
    return not name or (folder_contents.is_hidden(name) and not is_data_name(name))


def _path(address: str | None, info: ObjectInfo) -> str:
    """Name the object within its source: its path below the address, or its own name, printable."""
    prefix = (address or "").rstrip("/") + "/"
    name = info.uri.removeprefix(prefix) if info.uri.startswith(prefix) else info.uri.rsplit("/", 1)[-1]
    return shorten(name.replace("\n", " "), _LONGEST_NAME)
