"""One store for all addresses: the scheme says which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from lora_trainer.store.access_history import AccessHistory
from lora_trainer.store.file import FileStore
from lora_trainer.store.protocol import ObjectInfo, Store
from lora_trainer.store.s3 import S3Store


class StoreByScheme:
    """`s3://` goes to S3, `file://` to this machine. Each method is that of `Store`."""

    def __init__(self, unavailable_budget_seconds: float, history: AccessHistory) -> None:
        self._budget = unavailable_budget_seconds
        self._history = history
        self._files = FileStore()

    @cached_property
    def _s3(self) -> S3Store:
        return S3Store(self._budget, history=self._history)

    def _for(self, uri: str) -> Store:
        return self._files if uri.startswith("file://") else self._s3

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `Store.list`."""
        return self._for(prefix).list(prefix)

    def info(self, uri: str) -> ObjectInfo | None:
        """See `Store.info`."""
        return self._for(uri).info(uri)

    def read(self, uri: str) -> bytes:
        """See `Store.read`."""
        return self._for(uri).read(uri)

    def read_if_exists(self, uri: str) -> bytes | None:
        """See `Store.read_if_exists`."""
        return self._for(uri).read_if_exists(uri)

    def open(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """See `Store.open`."""
        return self._for(uri).open(uri)

    def download(self, uri: str, path: Path) -> None:
        """See `Store.download`."""
        self._for(uri).download(uri, path)

    def write(self, uri: str, content: bytes, *, content_type: str = "application/octet-stream") -> None:
        """See `Store.write`."""
        self._for(uri).write(uri, content, content_type=content_type)

    def create(self, uri: str, content: bytes, *, content_type: str = "application/octet-stream") -> bool:
        """See `Store.create`."""
        return self._for(uri).create(uri, content, content_type=content_type)

    def upload(self, path: Path, uri: str, *, sha256: str | None = None) -> None:
        """See `Store.upload`."""
        self._for(uri).upload(path, uri, sha256=sha256)

    def replace(
        self, uri: str, content: bytes, expected: ObjectInfo, *, content_type: str = "application/octet-stream"
    ) -> bool:
        """See `Store.replace`."""
        return self._for(uri).replace(uri, content, expected, content_type=content_type)

    def upload_if(self, path: Path, uri: str, expected: ObjectInfo | None, *, sha256: str | None = None) -> bool:
        """See `Store.upload_if`."""
        return self._for(uri).upload_if(path, uri, expected, sha256=sha256)

    def delete(self, prefix: str) -> None:
        """See `Store.delete`."""
        self._for(prefix).delete(prefix)

    def abort_uploads(self, prefix: str) -> None:
        """See `Store.abort_uploads`."""
        self._for(prefix).abort_uploads(prefix)
