"""What the trainer needs of a store: `S3Store` is the real one, `FileStore` serves runs without a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True)
class ObjectInfo:
    """One object: full address, size in bytes, ETag."""

    uri: str
    size: int
    etag: str


class Store(Protocol):
    """Objects by address. Every method raises `TrainerError`: 66 missing, 77 access denied, 69 unavailable."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose address starts with `prefix` + "/", sorted by address; a missing bucket raises 66."""

    def info(self, uri: str) -> ObjectInfo | None:
        """Return the object, or None when there is none."""

    def read(self, uri: str) -> bytes:
        """Return the whole content of a small object."""

    def read_if_exists(self, uri: str) -> bytes | None:
        """Return the same, None when there is none."""

    def open(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """Open a stream that survives broken connections (resumed by range, guarded by ETag)."""

    def download(self, uri: str, path: Path) -> None:
        """Write the object to a file, atomically."""

    def write(self, uri: str, content: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Put a small object, replacing what was there."""

    def create(self, uri: str, content: bytes, *, content_type: str = "application/octet-stream") -> bool:
        """Put only if nothing is there (conditional PUT); False when something was. Exactly one writer wins."""

    def upload(self, path: Path, uri: str, *, sha256: str | None = None) -> None:
        """Put a file, in parts where it is large; nothing unfinished stays behind on failure."""

    def replace(
        self, uri: str, content: bytes, expected: ObjectInfo, *, content_type: str = "application/octet-stream"
    ) -> bool:
        """Put a small object only if the one there is still `expected`; False when it is not."""

    def upload_if(self, path: Path, uri: str, expected: ObjectInfo | None, *, sha256: str | None = None) -> bool:
        """Put a file only if the object there is still `expected` (None: nothing); False when it is not."""

    def delete(self, prefix: str) -> None:
        """Delete the object at a prefix and all below it, unfinished uploads too; nothing there is not an error."""

    def abort_uploads(self, prefix: str) -> None:
        """Remove what killed writers left half uploaded at and below a prefix; no reader ever saw it."""
