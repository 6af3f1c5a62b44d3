"""Objects as files on this machine, for runs without a cluster."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from lora_contract import uri as addresses
from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError, bad_data
from lora_trainer.store.failures import missing, storage_full
from lora_trainer.store.protocol import ObjectInfo

_PARTIAL = ".partial-"


class FileStore:
    """`Store` on `file:///` addresses. Everything appears whole or not at all: written beside, then renamed."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `Store.list`; a missing folder is an empty one."""
        folder = _path(prefix)
        found = sorted(str(path) for path in folder.rglob("*") if path.is_file() and not path.name.startswith(_PARTIAL))
        for path in found:
            try:
                addresses.parse(f"file://{path}")
            except ValueError as error:
                raise bad_data(f"below {prefix} lies a file whose address {error}", hint="rename the file") from error
            yield _info(Path(path))

    def info(self, uri: str) -> ObjectInfo | None:
        """See `Store.info`."""
        path = _path(uri)
        return _info(path) if path.is_file() else None

    def read(self, uri: str) -> bytes:
        """See `Store.read`."""
        with _in_words(uri):
            return _path(uri).read_bytes()

    def read_if_exists(self, uri: str) -> bytes | None:
        """See `Store.read_if_exists`."""
        return self.read(uri) if _path(uri).is_file() else None

    def open(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """See `Store.open`."""
        with _in_words(uri):
            return _path(uri).open("rb")

    def download(self, uri: str, path: Path) -> None:
        """See `Store.download`."""
        with _in_words(uri), _path(uri).open("rb") as source, _beside(path) as partial:
            _copy(source, partial)
            partial.replace(path)

    def write(self, uri: str, content: bytes, *, content_type: str = "application/octet-stream") -> None:
        """See `Store.write`; files have no content type."""
        with _in_words(uri), _beside(_path(uri)) as partial:
            partial.write_bytes(content)
            partial.replace(_path(uri))

    def create(self, uri: str, content: bytes, *, content_type: str = "application/octet-stream") -> bool:
        """See `Store.create`; a hard link is made by exactly one of many."""
        with _in_words(uri), _beside(_path(uri)) as partial:
            partial.write_bytes(content)
            try:
                os.link(partial, _path(uri))
            except FileExistsError:
                return False
            return True

    def upload(self, path: Path, uri: str, *, sha256: str | None = None) -> None:
        """See `Store.upload`."""
        with _in_words(uri), path.open("rb") as source, _beside(_path(uri)) as partial:
            _copy(source, partial)
            partial.replace(_path(uri))

    def replace(
        self, uri: str, content: bytes, expected: ObjectInfo, *, content_type: str = "application/octet-stream"
    ) -> bool:
        """See `Store.replace`. One process at a time: files know no conditional replacement."""
        if self.info(uri) != expected:
            return False
        self.write(uri, content)
        return True

    def upload_if(self, path: Path, uri: str, expected: ObjectInfo | None, *, sha256: str | None = None) -> bool:
        """See `Store.upload_if`. One process at a time, as `replace`."""
        if self.info(uri) != expected:
            return False
        self.upload(path, uri)
        return True

    def delete(self, prefix: str) -> None:
        """See `Store.delete`."""
        path = _path(prefix)
        with _in_words(prefix):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def abort_uploads(self, prefix: str) -> None:
        """See `Store.abort_uploads`: removes what a killed process left half written."""
        for path in _path(prefix).rglob(f"{_PARTIAL}*"):
            path.unlink(missing_ok=True)


def _path(uri: str) -> Path:
    return Path(addresses.parse(uri.rstrip("/")).key)


def _info(path: Path) -> ObjectInfo:
    stat = path.stat()
    return ObjectInfo(f"file://{path}", stat.st_size, f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"')


def _copy(source: BinaryIO, target: Path) -> None:
    with target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1024 * 1024)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def _in_words(uri: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as error:
        raise missing(uri) from error
    except PermissionError as error:
        raise TrainerError(
            ExitCode.ACCESS_DENIED, f"no permission for {uri}", hint="check the owner and mode of the file"
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise storage_full(uri, errno.errorcode[error.errno]) from error
        raise TrainerError(ExitCode.INTERNAL, f"cannot read or write {uri}: {error.strerror or error}") from error
