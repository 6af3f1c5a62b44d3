"""Where a base model's files come from: a prefix of the store, or the Hub (in `hub`)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from lora_contract import spec_paths
from lora_contract import uri as addresses
from lora_contract.exit_codes import ExitCode
from lora_contract.identity import digest
from lora_trainer.errors import TrainerError
from lora_trainer.model_files.safetensors_header import Tensor, read_header
from lora_trainer.store.protocol import Store


@dataclass(frozen=True)
class ModelFile:
    """One file of a model: name, size in bytes, sha256 where the source states it."""

    name: str
    size: int
    sha256: str | None = None


class ModelSource(Protocol):
    """Files of one revision of one model."""

    #: Whether fetched files take room on this machine's disk.
    takes_room: bool

    def files(self) -> tuple[ModelFile, ...]:
        """List the files at the top of the model's folder."""

    def commit(self) -> str | None:
        """Return the revision; None where the source has none, and the content of the files is the revision."""

    def key(self) -> str:
        """Return what is equal for equal content, as far as a listing can tell: names the folder in the cache."""

    def fetch(self, name: str, folder: Path) -> None:
        """Download a file into a folder, under its own name."""

    def sha256(self, name: str) -> str:
        """Find the sha256 of a file's content without keeping it."""

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Read the tensors of a safetensors file by name, from its header alone."""


class StoreSource:
    """A model below a prefix of the store."""

    takes_room = True

    def __init__(self, store: Store, prefix: str, revision: str | None, model: str) -> None:
        """`revision` is the commit that the user states for the files, if any; messages call it `model`."""
        self._store = store
        self._prefix = prefix.rstrip("/")
        self._revision = revision
        self._model = model
        self._objects = {
            info.uri.removeprefix(self._prefix + "/"): info
            for info in store.list(self._prefix)
            if "/" not in info.uri.removeprefix(self._prefix + "/")
        }
        if not self._objects:
            raise TrainerError(
                ExitCode.INPUT_MISSING,
                f"there is no model at {prefix}",
                param=spec_paths.MODEL_SOURCE,
                hint="upload config.json, the *.safetensors and the tokenizer files there, or correct the address",
            )

    def files(self) -> tuple[ModelFile, ...]:
        """See `ModelSource.files`."""
        return tuple(ModelFile(name, info.size) for name, info in self._objects.items())

    def commit(self) -> str | None:
        """See `ModelSource.commit`."""
        return self._revision

    def key(self) -> str:
        """See `ModelSource.key`."""
        listing = {name: [info.size, info.etag] for name, info in self._objects.items()}
        return digest({"prefix": self._prefix, "revision": self._revision, "files": listing})

    def fetch(self, name: str, folder: Path) -> None:
        """See `ModelSource.fetch`."""
        self._store.download(f"{self._prefix}/{name}", folder / PurePosixPath(name).name)

    def sha256(self, name: str) -> str:
        """See `ModelSource.sha256`: reads the whole object."""
        hasher = hashlib.sha256()
        with self._store.open(f"{self._prefix}/{name}") as stream:
            while chunk := stream.read(1 << 20):
                hasher.update(chunk)
        return hasher.hexdigest()

    def tensors(self, name: str) -> dict[str, Tensor]:
        """See `ModelSource.tensors`."""
        with self._store.open(f"{self._prefix}/{name}") as stream:
            return read_header(stream, self._objects[name].size, name, self._model)


class LocalSource(StoreSource):
    """A model on this machine: its files are used where they lie."""

    takes_room = False

    def fetch(self, name: str, folder: Path) -> None:
        """See `ModelSource.fetch`; a link instead of a copy."""
        link = folder / PurePosixPath(name).name
        link.unlink(missing_ok=True)
        link.symlink_to(addresses.parse(f"{self._prefix}/{name}").key)
