"""What the reference model says of prepared rows, in the store: computed once, used by all runs on the same rows.

Below `RunLayout.reference(key)`:

    <sha256>.safetensors   log_probabilities, float32 [rows, 2]
    manifest.json          digest and size of the one that counts; written last

It stays after a run, because another one may use it: 8 bytes a row. Whoever deletes it only lets it be computed anew.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lora_contract.base import StatusModel
from lora_contract.counts import counted
from lora_contract.exit_codes import ExitCode
from lora_contract.layout import MANIFEST
from lora_trainer.digests import FileDigest, digest_of
from lora_trainer.errors import TrainerError
from lora_trainer.store import Store

log = logging.getLogger(__name__)

LogProbabilities = npt.NDArray[np.float32]

_TENSOR = "log_probabilities"
#: Most bytes of a file beside its values, and of a manifest.
_HEADER_BYTES = _MANIFEST_BYTES = 4096
#: What a sum of logarithms of probabilities may be above 0, by rounding.
_ROUNDING = 1e-2
_TRIES = 5


class UnfitReference(Exception):  # noqa: N818 - it is computed anew in its place
    """A file that does not hold what it should, and why."""


class _Manifest(StatusModel):
    version: Literal[1] = 1
    file: FileDigest = Field(description="The file that counts.")


class StoredReference:
    """What lies below one prefix: log-probabilities of so many rows."""

    def __init__(self, store: Store, prefix: str, rows: int) -> None:
        """`prefix` is `RunLayout.reference` of a key."""
        self._store = store
        self._prefix = prefix
        self._manifest = f"{prefix}/{MANIFEST}"
        self._rows = rows

    def find(self, path: Path) -> str | None:
        """Bring the values to `path`, and tell their digest; None where there are none, or none that fit."""
        info = self._store.info(self._manifest)
        if info is None:
            return None
        try:
            if info.size > _MANIFEST_BYTES:
                raise UnfitReference(f"{MANIFEST} has {counted(info.size, 'byte')}")
            content = self._store.read(self._manifest)
            self.bring(_Manifest.model_validate_json(content).file.sha256, path)
        except (ValidationError, UnfitReference, TrainerError) as error:
            if isinstance(error, TrainerError) and error.exit_code != ExitCode.INPUT_MISSING:
                raise
            log.warning(
                "what the reference says of the rows is computed anew: %s does not fit: %s", self._prefix, error
            )
            return None
        return digest_of(path).sha256

    def bring(self, sha256: str, path: Path) -> None:
        """Bring the values with a digest to `path`.

        Raises:
            UnfitReference: they are not what the digest says, or not of these rows.
        """
        uri = self._uri(sha256)
        info = self._store.info(uri)
        if info is None:
            raise UnfitReference("the file is gone")
        if info.size > self._rows * 2 * np.dtype(np.float32).itemsize + _HEADER_BYTES:
            raise UnfitReference(
                f"the file has {counted(info.size, 'byte')}, too many for {counted(self._rows, 'row')}"
            )
        self._store.download(uri, path)
        if digest_of(path).sha256 != sha256:
            raise UnfitReference("the file is not the one that was written")
        read(path, self._rows)

    def keep(self, path: Path) -> str:
        """Put the values at `path` there; the digest of those that count: another writer's where one was first."""
        digest = digest_of(path)
        self._store.upload(path, self._uri(digest.sha256), sha256=digest.sha256)
        content = _Manifest(file=digest).model_dump_json(by_alias=True).encode()
        for _ in range(_TRIES):
            seen = self._store.info(self._manifest)
            if seen is None:
                done = self._store.create(self._manifest, content, content_type="application/json")
            else:
                first = self.find(path.with_suffix(".first"))
                if first is not None:
                    return first
                done = self._store.replace(self._manifest, content, seen, content_type="application/json")
            if done:
                return digest.sha256
        raise TrainerError(ExitCode.UNAVAILABLE, f"another writer keeps changing {self._manifest}")

    def _uri(self, sha256: str) -> str:
        return f"{self._prefix}/{sha256}.safetensors"


def write(values: LogProbabilities, path: Path) -> None:
    """Write log-probabilities [rows, 2] to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({_TENSOR: values}, path)


def read(path: Path, rows: int) -> LogProbabilities:
    """Read the log-probabilities of so many rows.

    Raises:
        UnfitReference: the file holds something else.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise UnfitReference(f"the file cannot be read ({error})") from error
    values = tensors.get(_TENSOR)
    if values is None or values.shape != (rows, 2) or values.dtype != np.float32:
        raise UnfitReference(f"the file does not hold two log-probabilities for each of {counted(rows, 'row')}")
    if not (np.isfinite(values) & (values <= _ROUNDING)).all():
        raise UnfitReference("the file holds values that are no logarithms of probabilities")
    return values
