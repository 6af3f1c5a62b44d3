"""Rows of parquet files, batch by batch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lora_trainer.data.files import MAX_DECOMPRESSED_BYTES, MAX_RATIO, MAX_RATIO_FLOOR, DataFile, decompressed_copy
from lora_trainer.data.rows import Place, RawRow
from lora_trainer.errors import bad_data

MAX_COLUMNS = 1000
_BATCH_ROWS = 64


def read_parquet(file: DataFile) -> Iterator[RawRow]:
    """Rows with the columns that can hold text; binary columns and structures are left out."""
    with tempfile.TemporaryDirectory(dir=file.path.parent) as folder:
        path = decompressed_copy(file, Path(folder))
        try:
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as parquet:
                _check_bounds(parquet, path.stat().st_size, file)
                yield from _rows(parquet, file)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, UnicodeDecodeError) as error:
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise bad_data(
                f"{file.name} is not a readable parquet file: {words}",
                param=file.name,
                hint="write it again, or upload it again: it may be cut off",
            ) from error


def _check_bounds(parquet: pq.ParquetFile, size: int, file: DataFile) -> None:
    metadata = parquet.metadata
    if len(parquet.schema_arrow.names) > MAX_COLUMNS:
        raise bad_data(
            f"{file.name} has {len(parquet.schema_arrow.names)} columns, at most {MAX_COLUMNS} are read",
            param=file.name,
            hint="write a file with the columns to train on",
        )
    limit = min(max(MAX_RATIO_FLOOR, MAX_RATIO * size), MAX_DECOMPRESSED_BYTES)
    total = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if total > limit:
        raise bad_data(
            f"{file.name} grows beyond {limit >> 20} MiB when decompressed",
            param=file.name,
            hint=f"a file may grow to {MAX_RATIO} times its compressed size; store it with less compression",
        )


def _rows(parquet: pq.ParquetFile, file: DataFile) -> Iterator[RawRow]:
    columns = [field.name for field in parquet.schema_arrow if _may_hold_text(field.type)]
    number = 0
    for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
        for value in batch.to_pylist():
            number += 1
            yield RawRow(Place(file.name, number, "row"), value)


def _may_hold_text(kind: pa.DataType) -> bool:
    types = pa.types
    return not (types.is_binary(kind) or types.is_large_binary(kind) or types.is_struct(kind))
