"""Rows of parquet files, batch by batch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lora_contract.counts import counted
from lora_contract.outside import shorten
from lora_trainer.data.reading import signatures
from lora_trainer.data.reading.compression import (
    cut_off,
    damaged,
    decompressed_copy,
    grows_beyond,
    most_bytes,
    most_rows,
    too_many_rows,
)
from lora_trainer.data.reading.files import DataFile
from lora_trainer.data.reading.lines import MAX_ROW_BYTES, TOO_LONG
from lora_trainer.data.rows import Place, RawRow
from lora_trainer.errors import bad_data

MAX_COLUMNS = 1000
_MAGIC = b"PAR1"
#: What pyarrow says of a schema that is whole and that it does not read.
_TOO_DEEP = "deeply nested"
_LONGEST_TYPES = 500
_LONGEST_NAME = 200
_BATCH_ROWS = 64
_BYTES_HINT = "write texts as strings: cast binary columns to string where they hold text"
_STRUCTURES_HINT = "write the texts of a structure as columns of their own, and turns as a list with role and content"
_UTF8_HINT = "write the file again from texts that were decoded with their own encoding, such as latin-1"


def read_parquet(file: DataFile) -> Iterator[RawRow]:
    """Read rows with the columns that can hold text; binary columns, structures and times are left out."""
    with tempfile.TemporaryDirectory(dir=file.path.parent) as folder:
        path = decompressed_copy(file, Path(folder))
        _check_ends(path, file)
        try:
            # Mapped: what the header of a page claims to hold is not set aside before it is seen not to be there.
            with pq.ParquetFile(path, pre_buffer=False, memory_map=True, page_checksum_verification=True) as parquet:
                limit = most_bytes(path.stat().st_size)
                _check_bounds(parquet, limit, file)
                yield from _rows(parquet, file, limit)
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            if isinstance(error, pa.ArrowNotImplementedError) or _TOO_DEEP in words:
                hint = "write it with other settings, for example with the usual ones of pyarrow or pandas"
                raise bad_data(f"{file.name} cannot be read: {words}", param=file.name, hint=hint) from error
            raise damaged(file.name, f"it is not a readable parquet file: {words}", file.name) from error


def _check_ends(path: Path, file: DataFile) -> None:
    """Hold first and last bytes against the format, which begins and ends with the same four."""
    with path.open("rb") as content:
        head = content.peek(signatures.HEAD_BYTES)
        if file.compression == "":
            signatures.check_stored(file, head)
        content.seek(max(0, path.stat().st_size - len(_MAGIC)))
        whole = content.read() == _MAGIC
    if head.startswith(_MAGIC) and not whole:
        raise cut_off(file.name, "a parquet file ends with its footer, which is not there", file.name)


def _check_bounds(parquet: pq.ParquetFile, limit: int, file: DataFile) -> None:
    metadata = parquet.metadata
    if len(parquet.schema_arrow.names) > MAX_COLUMNS:
        raise bad_data(
            f"{file.name} has {counted(len(parquet.schema_arrow.names), 'column')}, at most {MAX_COLUMNS} are read",
            param=file.name,
            hint="write a file with the columns to train on",
        )
    twice = _named_twice(parquet.schema_arrow)
    if twice is not None:  # of two values a row would keep one
        raise bad_data(
            f"{file.name} names the column {twice[:_LONGEST_NAME]!r} twice",
            param=file.name,
            hint="write the file again with each column, and each field of a structure, once",
        )
    total = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if total > limit:
        raise grows_beyond(limit, file)
    stored = file.path.stat().st_size
    if metadata.num_rows > most_rows(stored):
        raise too_many_rows(counted(metadata.num_rows, "row"), stored, file)


def _named_twice(fields: Iterable[pa.Field]) -> str | None:
    """Find the first name that stands twice beside each other, at any depth; None: there is none."""
    known = list(fields)
    names = [field.name for field in known]
    for field in known:
        if names.count(field.name) > 1:
            return str(field.name)
        inner = _named_twice(field.type.field(index) for index in range(field.type.num_fields))
        if inner is not None:
            return f"{field.name}.{inner}"
    return None


def _rows(parquet: pq.ParquetFile, file: DataFile, limit: int) -> Iterator[RawRow]:
    """Read all rows, within `limit` characters together: the footer counts a text once, however many rows repeat it."""
    columns = [field.name for field in parquet.schema_arrow if _may_hold_text(field.type)]
    unread = tuple(field.name for field in parquet.schema_arrow if not _may_hold_text(field.type))
    if not columns:
        found = ", ".join(f"{field.name} ({field.type})" for field in list(parquet.schema_arrow)[:20])
        raise bad_data(
            f"{file.name} has no column that holds text; its columns are {shorten(found, _LONGEST_TYPES)}",
            param=file.name,
            hint=_STRUCTURES_HINT
            if any(pa.types.is_struct(field.type) for field in parquet.schema_arrow)
            else _BYTES_HINT,
        )
    number = grown = 0
    for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
        small = batch.nbytes <= MAX_ROW_BYTES
        for value in _values(batch):
            number += 1
            place = Place(file.name, number, "row")
            if isinstance(value, str):
                yield RawRow(place, None, value, _UTF8_HINT)
                continue
            characters = _characters(value)
            grown += characters
            if grown > limit:
                raise grows_beyond(limit, file)
            too_long = not small and characters > MAX_ROW_BYTES
            yield RawRow(place, None, TOO_LONG) if too_long else RawRow(place, value, unread=unread)
    if number != parquet.metadata.num_rows:
        problem = f"its footer counts {counted(parquet.metadata.num_rows, 'row')}, and {number} can be read"
        raise damaged(file.name, problem, file.name)


def _values(batch: pa.RecordBatch) -> list[dict[str, Any] | str]:
    """Give the rows of a batch; of a row that holds bytes which are no text, what is wrong with it."""
    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError:
        return [_value(batch, index) for index in range(batch.num_rows)]


def _value(batch: pa.RecordBatch, index: int) -> dict[str, Any] | str:
    row = {}
    for name in batch.schema.names:
        try:
            row[name] = batch.column(name)[index].as_py()
        except UnicodeDecodeError as error:
            at = f"byte 0x{error.object[error.start]:02x} at position {error.start + 1}"
            return f"column {name[:_LONGEST_NAME]!r} holds a text that is not UTF-8 ({at})"
    return row


def _characters(value: Any) -> int:
    """Count the characters of all texts in a value; what is neither text nor list nor object counts as one."""
    if isinstance(value, dict):
        return sum(_characters(each) for each in value.values())
    if isinstance(value, list):
        return sum(_characters(each) for each in value)
    return len(value) if isinstance(value, str) else 1


def _may_hold_text(kind: pa.DataType) -> bool:
    types = pa.types
    without = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_struct, types.is_temporal)
    return not any(is_without(kind) for is_without in without)
