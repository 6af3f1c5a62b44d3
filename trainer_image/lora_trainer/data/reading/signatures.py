"""What the first bytes of a file say it is, held against its name."""

from __future__ import annotations

from lora_trainer.data.reading.files import DataFile
from lora_trainer.errors import TrainerError, bad_data

#: So many first bytes are looked at.
HEAD_BYTES = 64
#: Fewer bytes are not called plain text: the first bytes of a cut file may be letters.
_LEAST_TEXT = 8

_GZIP, _ZSTD, _PARQUET = "gzip", "zstd", "parquet"
#: First bytes of the formats that are read under the right name, with the extension for it.
_READ: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", _GZIP, ".gz"),
    (b"\x28\xb5\x2f\xfd", _ZSTD, ".zst"),
    (b"PAR1", _PARQUET, ".parquet"),
)
_TO_PARQUET = "write it as Parquet, for example with Dataset.to_parquet of the library datasets"
_DOWNLOAD = "it may be the error page of a download: fetch the file again"
#: First bytes of other formats that people put under a name of ours, and how to turn each into one that is read. Bytes
#: that are no text follow each of them, other than in a table whose first column is called PARENT.
_NOT_READ: tuple[tuple[bytes, str, str], ...] = (
    (b"PARE", "encrypted parquet", "write it without encryption"),
    (b"BZh", "bzip2", "decompress it, or compress it as gzip or zstd"),
    (b"\xfd7zXZ\0", "xz", "decompress it, or compress it as gzip or zstd"),
    (b"PK\x03\x04", "zip", "unpack it (a workbook of Excel: save its sheet as CSV)"),
    (b"ARROW1", "Arrow", _TO_PARQUET),
    (b"\xff\xff\xff\xff", "Arrow", _TO_PARQUET),
    (b"ORC", "ORC", "write it as Parquet"),
    (b"Obj\x01", "Avro", "write it as Parquet"),
    (b"SQLite format 3\0", "SQLite", "write its rows as JSON lines"),
    (b"%PDF", "PDF", "write its text as JSON lines"),
    (b"\x89HDF", "HDF5", "write its rows as Parquet"),
)
#: The same for formats that are text.
_OTHER_TEXTS: tuple[tuple[bytes, str, str], ...] = (
    (b"<!DOCTYPE", "HTML", _DOWNLOAD),
    (b"<!doctype", "HTML", _DOWNLOAD),
    (b"<html", "HTML", _DOWNLOAD),
    (b"<?xml", "XML", _DOWNLOAD),
    (b"version https://git-lfs", "Git LFS pointer", "upload the file itself; `git lfs pull` fetches it"),
)
_COMPRESSIONS = {"gz": _GZIP, "zst": _ZSTD}


def check_stored(file: DataFile, head: bytes) -> None:
    """Hold the first stored bytes of a file against its name.

    Raises:
        TrainerError: they are of another format than the name says.
    """
    expected = _COMPRESSIONS.get(file.compression) or (_PARQUET if file.kind == "parquet" else None)
    found, remedy = _known(head, file)
    if found == expected:
        return
    if found is not None:
        raise _other(file, f"holds {found} data, not {_named(expected)} as its name says", remedy)
    if expected is not None and len(head) >= _LEAST_TEXT and _is_text(head):
        remedy = f"name it {_stem(file)}" if file.compression else "name it .jsonl, .json or .csv, by what it holds"
        raise _other(file, f"holds plain text, not {expected} data as its name says", remedy)


def check_content(file: DataFile, head: bytes) -> None:
    """Hold the first bytes of what a compressed file decompresses to against its name.

    Raises:
        TrainerError: they are of a format that is not read there.
    """
    expected = _PARQUET if file.kind == "parquet" else None
    found, remedy = _known(head, file)
    if found in (None, expected):
        return
    if found in (_GZIP, _ZSTD):
        raise _other(file, f"is compressed twice: it decompresses to {found} data", "compress it once")
    raise _other(file, f"decompresses to {found} data, not {_named(expected)} as its name says", remedy)


def _known(head: bytes, file: DataFile) -> tuple[str | None, str]:
    """Find the format that begins so, and what to do with such a file; None for any other."""
    if not _is_text(head):
        for signature, name, extension in _READ:
            if head.startswith(signature):
                stem = _stem(file)
                return name, f"name it {stem.rpartition('.')[0] if name == _PARQUET else stem}{extension}"
    for signature, name, remedy in _OTHER_TEXTS if _is_text(head) else _NOT_READ:
        if head.startswith(signature):
            return name, remedy
    return None, ""


def _named(expected: str | None) -> str:
    return "text" if expected is None else f"{expected} data"


def _stem(file: DataFile) -> str:
    """Give the name without the extension of a compression."""
    return file.name.rpartition(".")[0] if file.compression else file.name


def _is_text(head: bytes) -> bool:
    """Tell whether the bytes are UTF-8 without control characters; the last character may be cut."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character.isspace() for character in text)


def _other(file: DataFile, problem: str, remedy: str) -> TrainerError:
    return bad_data(f"{file.name} {problem}", param=file.name, hint=f"{remedy}, or upload the right file")
