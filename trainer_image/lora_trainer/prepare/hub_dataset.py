"""A dataset on the Hugging Face Hub at one commit: its files, and which of them are a split."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from lora_contract import uri as addresses
from lora_contract.counts import counted
from lora_trainer.digests import verified_sha256
from lora_trainer.errors import bad_data
from lora_trainer.model_files.hub_access import HubAccess, Named
from lora_trainer.store.protocol import ObjectInfo

#: Most files of a repository that are looked at.
_MOST_FILES = 20_000


class HubDataset:
    """The files of the repository that an address names, by their paths."""

    def __init__(self, address: str, field: str, budget_seconds: float) -> None:
        """`field` of the spec holds the address; `budget_seconds` is how long the Hub may be away."""
        self._found = addresses.hub_dataset(address)
        self._root = f"{addresses.HUB}datasets/{self._found.name}@{self._found.commit}"
        self._field = field
        self._access = HubAccess(
            Named(
                "dataset",
                self._found.name,
                self._found.commit,
                field=field,
                revision_field=field,
                instead="copy the dataset to S3, and name it there, where the cluster cannot reach the Hub",
            ),
            budget_seconds,
        )

    @cached_property
    def _files(self) -> dict[str, Any]:
        api, found = self._access.api, self._found
        info = self._access.patiently(lambda: api.dataset_info(found.name, revision=found.commit, files_metadata=True))
        files = {sibling.rfilename: sibling for sibling in info.siblings or []}
        if len(files) > _MOST_FILES:
            raise bad_data(
                f"{found.name} has {counted(len(files), 'file')}, {_MOST_FILES} are the most",
                param=self._field,
                hint="copy the files that are meant to S3",
            )
        for name in files:
            try:
                addresses.check_data_address(f"{self._root}/{name}")
            except ValueError as error:
                message = f"{found.name} has a file whose address {error}"
                raise bad_data(message, param=self._field, hint="copy the files that are meant to S3") from error
        return files

    def info(self, uri: str) -> ObjectInfo | None:
        """Return the file at an address; None: there is none."""
        path = addresses.hub_dataset(uri).path
        return self._object(path) if path in self._files else None

    def list(self, uri: str) -> Iterator[ObjectInfo]:
        """Give the files below an address, or those of the split that it names, sorted by address."""
        path = addresses.hub_dataset(uri).path
        below = [name for name in self._files if not path or name.startswith(f"{path}/")]
        for name in sorted(below or self._of_split(path)):
            yield self._object(name)

    def _object(self, name: str) -> ObjectInfo:
        file = self._files[name]
        return ObjectInfo(f"{self._root}/{name}", file.size or 0, file.blob_id or "")

    def _of_split(self, path: str) -> Sequence[str]:
        """Choose the files of a split: `data/train-00000-of-00002.parquet` and `en/train/0.parquet` are of `train`.

        Raises:
            TrainerError: they lie in several places, as where a dataset has several configurations.
        """
        folder, _, split = path.rpartition("/")
        below = (name for name in self._files if not folder or name.startswith(f"{folder}/"))
        found = {name: place for name in below if (place := _place_of_split(name, split)) is not None}
        places = sorted(set(found.values()))
        if len(places) > 1:
            raise bad_data(
                f"{self._found.name} has files of {split} in several places: {', '.join(places[:5])}",
                param=self._field,
                hint=f"name one of them in the address: {self._root}/{places[0]}",
            )
        return list(found)

    def download(self, uri: str, path: Path) -> None:
        """Write a file to `path`.

        Raises:
            TrainerError: it cannot be had, or arrived other than the Hub states it.
        """
        name = addresses.hub_dataset(uri).path
        file, api, found = self._files[name], self._access.api, self._found
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="hub-") as folder:
            self._access.patiently(
                lambda: api.hf_hub_download(
                    found.name, name, repo_type="dataset", revision=found.commit, local_dir=folder
                )
            )
            fetched = Path(folder) / name
            sha256 = file.lfs.sha256 if file.lfs else None
            verified_sha256(fetched, f"{name} of {found.name}", size=file.size, sha256=sha256, param=self._field)
            shutil.move(fetched, path)


def _place_of_split(name: str, split: str) -> str | None:
    """Tell which path in an address means the split that a file is of; None: the file is not of this split."""
    *folders, base = PurePosixPath(name).parts
    if re.fullmatch(rf"{re.escape(split)}([-_.]?[0-9]+(-of-[0-9]+)?)?([.][a-z0-9]+)+", base):
        return "/".join([*folders, split])
    return "/".join(folders[: folders.index(split) + 1]) if split in folders else None
