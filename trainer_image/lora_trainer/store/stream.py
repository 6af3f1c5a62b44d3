"""A stream over one object that outlives broken connections."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from lora_trainer.store import failures
from lora_trainer.store.retry import Retries

#: Gives an answer of GetObject for an address, from a position, guarded by the ETag of the first answer.
Get = Callable[[str, int, str | None], Mapping[str, Any]]


class ResumingStream(io.RawIOBase):
    """Reads an object from front to back; after a failure it asks for the rest by range, of the same version only."""

    def __init__(self, uri: str, get: Get, retries: Retries) -> None:
        super().__init__()
        self._uri = uri
        self._get = get
        self._retries = retries
        self._position = 0
        self._etag: str | None = None
        self._size = 0
        self._body: Any = None
        self._retries.call(self._connect, uri)

    def readable(self) -> bool:
        """Return True, always."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer with what comes next; 0 at the end of the object."""
        view = memoryview(buffer)
        data = self._retries.call(lambda: self._read(len(view)), self._uri)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read(self, amount: int) -> bytes:
        if self._position == self._size:
            return b""
        if self._body is None:
            self._connect()
        try:
            data: bytes = self._body.read(amount)
        except failures.CLIENT_ERRORS:
            self._drop()
            raise
        if not data:
            self._drop()
            raise ConnectionError("the object ended early")
        return data

    def _connect(self) -> None:
        try:
            answer = self._get(self._uri, self._position, self._etag)
        except failures.CLIENT_ERRORS as error:
            if failures.is_taken(error):
                raise failures.ObjectReplacedError(self._uri) from error
            raise
        if self._etag is None:
            self._etag = answer["ETag"]
            self._size = answer["ContentLength"]
        self._body = answer["Body"]

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def close(self) -> None:
        """Give the connection back."""
        self._drop()
        super().close()
