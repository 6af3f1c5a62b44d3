"""Data files: what their names say of them, and their bytes, decompressed within bounds."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import zstandard

from lora_trainer.errors import bad_data

Kind = Literal["jsonl", "json", "csv", "parquet"]
Compression = Literal["", "gz", "zst"]

#: A compressed file may grow to this many times its size; text of any kind stays far below.
MAX_RATIO = 200
#: Small files may grow to this in any case, bytes.
MAX_RATIO_FLOOR = 64 << 20
#: No file may grow beyond this, bytes.
MAX_DECOMPRESSED_BYTES = 64 << 30

_NAME = re.compile(r"\.(?P<kind>jsonl|ndjson|json|csv|parquet)(?:\.(?P<compression>gz|zst|zstd))?$", re.IGNORECASE)
_KINDS: dict[str, Kind] = {"jsonl": "jsonl", "ndjson": "jsonl", "json": "json", "csv": "csv", "parquet": "parquet"}
_COMPRESSIONS: dict[str, Compression] = {"": "", "gz": "gz", "zst": "zst", "zstd": "zst"}


@dataclass(frozen=True)
class DataFile:
    """One file of the dataset on local disk; `name` is what messages call it."""

    name: str
    path: Path
    kind: Kind
    compression: Compression


def classify(name: str) -> tuple[Kind, Compression]:
    """What a file holds, by its name.

    Raises:
        TrainerError: the name has none of the known extensions.
    """
    match = _NAME.search(name)
    if match is None:
        raise bad_data(
            f"{name} is not a data file by its name",
            param=name,
            hint="name it .jsonl, .json, .csv or .parquet, with .gz or .zst behind it where it is compressed",
        )
    return _KINDS[match["kind"].lower()], _COMPRESSIONS[(match["compression"] or "").lower()]


class _Bounded(io.RawIOBase):
    """A stream that ends in an error instead of more than `limit` bytes."""

    def __init__(self, source: BinaryIO, limit: int, file: DataFile) -> None:
        super().__init__()
        self._source = source
        self._left = limit
        self._limit = limit
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            chunk = self._source.read(len(view))
        except (gzip.BadGzipFile, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise bad_data(
                f"{self._file.name} cannot be decompressed: {error}",
                param=self._file.name,
                hint="compress it again, or upload it again: it may be cut off",
            ) from error
        self._left -= len(chunk)
        if self._left < 0:
            raise bad_data(
                f"{self._file.name} grows beyond {self._limit >> 20} MiB when decompressed",
                param=self._file.name,
                hint=f"a file may grow to {MAX_RATIO} times its compressed size; store it with less compression",
            )
        view[: len(chunk)] = chunk
        return len(chunk)


@contextmanager
def open_decompressed(file: DataFile) -> Iterator[io.BufferedReader]:
    """The content of a file as a buffered stream of bytes.

    Raises:
        TrainerError: (while reading) it is not what its name says, is cut off, or grows beyond the bounds.
    """
    size = file.path.stat().st_size
    with file.path.open("rb") as stored:
        if file.compression == "":
            yield stored
            return
        source: BinaryIO
        if file.compression == "gz":
            source = gzip.GzipFile(fileobj=stored)  # type: ignore[assignment]
        else:
            decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
            source = decompressor.stream_reader(stored, read_across_frames=True)
        limit = min(max(MAX_RATIO_FLOOR, MAX_RATIO * size), MAX_DECOMPRESSED_BYTES)
        yield io.BufferedReader(_Bounded(source, limit, file), 1 << 20)


def decompressed_copy(file: DataFile, into: Path) -> Path:
    """The path of the plain content: the file itself, or a copy below `into` when it is compressed."""
    if file.compression == "":
        return file.path
    copy = into / "plain"
    with open_decompressed(file) as stream, copy.open("wb") as target:
        while chunk := stream.read(1 << 20):
            target.write(chunk)
    return copy
