"""The bytes of a data file, decompressed within bounds: what is cut off or damaged never passes for a shorter file."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard

from lora_contract.counts import counted
from lora_trainer.data.reading import signatures
from lora_trainer.data.reading.files import DataFile
from lora_trainer.errors import TrainerError, bad_data

#: A compressed file may grow to this many times its size; text of any kind stays far below.
MAX_RATIO = 200
#: Small files may grow to this in any case, bytes.
MAX_RATIO_FLOOR = 64 << 20
#: No file may grow beyond this, bytes.
MAX_DECOMPRESSED_BYTES = 64 << 30

#: A file has at most as many rows as it has stored bytes for, so many bytes each: rows that repeat one text take next
#: to no room, and would be read for hours.
_LEAST_ROW_BYTES = 4
#: Small files may have so many rows in any case.
_MAX_ROWS_FLOOR = 200_000

_MAX_ZSTD_WINDOW = 1 << 27
#: Compressed bytes that are decompressed at a time. A zstd block of 4 bytes may stand for 128 KiB, so this bounds
#: what one step yields to 32 MiB.
_ZSTD_STEP = 1024
_COMPRESSIONS = {"gz": "gzip", "zst": "zstd"}


def cut_off(place: str, problem: str, param: str) -> TrainerError:
    """Make the error for a file that ends too early."""
    return bad_data(
        f"{place} is cut off: {problem}",
        param=param,
        hint="upload the file again, whole; where it is written in place, start the run when that is done",
    )


def damaged(place: str, problem: str, param: str) -> TrainerError:
    """Make the error for a file whose bytes are not those that were written."""
    return bad_data(
        f"{place} is damaged: {problem}", param=param, hint="upload the file again, or write it again at its source"
    )


def grows_beyond(limit: int, file: DataFile) -> TrainerError:
    """Make the error for a file that decompresses to more than `limit` bytes."""
    return bad_data(
        f"{file.name} grows beyond {limit >> 20} MiB when decompressed",
        param=file.name,
        hint=f"a file may grow to {MAX_RATIO} times its compressed size; store it with less compression",
    )


def most_bytes(stored: int) -> int:
    """Give the most bytes that a file of so many stored ones may grow to."""
    return min(max(MAX_RATIO_FLOOR, MAX_RATIO * stored), MAX_DECOMPRESSED_BYTES)


def most_rows(stored: int) -> int:
    """Give the most rows that are read of a file of so many stored bytes."""
    return max(_MAX_ROWS_FLOOR, stored // _LEAST_ROW_BYTES)


def too_many_rows(rows: str, stored: int, file: DataFile) -> TrainerError:
    """Make the error for a file with more rows than are read of one of its size; `rows` says how many."""
    return bad_data(
        f"{file.name} has {rows} in {counted(stored, 'byte')}: nearly all of them repeat others",
        param=file.name,
        hint="write each row once; set training.epochs to pass over the rows more often",
    )


class _ZstdFrames(io.RawIOBase):
    """The frames of a zstd file, one after the other (RFC 8878, section 3.1).

    The reader of `zstandard` takes the end of the file for the end of a frame; here it raises EOFError, as gzip does.
    """

    def __init__(self, stored: BinaryIO) -> None:
        super().__init__()
        self._stored = stored
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW)
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._compressed = self._plain = b""
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        while self._position == len(self._plain):
            self._compressed = self._compressed or self._stored.read(_ZSTD_STEP)
            if not self._compressed:
                if self._frame is not None:
                    raise EOFError
                return 0
            self._step()
        chunk = self._plain[self._position : self._position + len(view)]
        self._position += len(chunk)
        view[: len(chunk)] = chunk
        return len(chunk)

    def _step(self) -> None:
        if self._frame is None:
            self._frame = self._decompressor.decompressobj()
        self._plain, self._position = self._frame.decompress(self._compressed), 0
        self._compressed = b""
        if self._frame.eof:
            self._compressed, self._frame = self._frame.unused_data, None


class _Bounded(io.RawIOBase):
    """A stream that ends in an error instead of more than `limit` bytes."""

    def __init__(self, source: io.RawIOBase | io.BufferedIOBase, limit: int, file: DataFile) -> None:
        super().__init__()
        self._source = source
        self._left = limit
        self._limit = limit
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        name = self._file.name
        compression = _COMPRESSIONS[self._file.compression]
        try:
            chunk = self._source.read(len(view))
        except EOFError as error:
            raise cut_off(name, f"its {compression} data has no end", name) from error
        except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
            raise damaged(name, f"its {compression} data cannot be decompressed: {error}", name) from error
        self._left -= len(chunk)
        if self._left < 0:
            raise grows_beyond(self._limit, self._file)
        view[: len(chunk)] = chunk
        return len(chunk)


@contextmanager
def open_decompressed(file: DataFile) -> Iterator[io.BufferedReader]:
    """Open the plain content of a file as a buffered stream of bytes.

    Raises:
        TrainerError: (also while reading) it is not what its name says, is cut off or damaged, or grows beyond the
            bounds.
    """
    size = file.path.stat().st_size
    with file.path.open("rb") as stored:
        signatures.check_stored(file, stored.peek(signatures.HEAD_BYTES))
        if file.compression == "":
            yield stored
            return
        if size == 0:
            raise cut_off(
                file.name, f"it has no bytes, not even those of empty {_COMPRESSIONS[file.compression]} data", file.name
            )
        source = gzip.GzipFile(fileobj=stored) if file.compression == "gz" else _ZstdFrames(stored)
        content: io.BufferedReader = io.BufferedReader(_Bounded(source, most_bytes(size), file), 1 << 20)
        signatures.check_content(file, content.peek(signatures.HEAD_BYTES))
        yield content


def decompressed_copy(file: DataFile, into: Path) -> Path:
    """Decompress a file to a copy below `into`, and give its path; a file that is not compressed is given itself."""
    if file.compression == "":
        return file.path
    copy = into / "plain"
    with open_decompressed(file) as stream, copy.open("wb") as target:
        while chunk := stream.read(1 << 20):
            target.write(chunk)
    return copy
