"""Writes tokenised rows to parquet in bounded memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lora_trainer.data.prepared import NO_SOURCE, ROW_SCHEMA, SOURCE, TEST_SCHEMA, WEIGHTS, calls_as_text
from lora_trainer.data.rows import ToolCall
from lora_trainer.data.template.masking import Encoded

_ROWS_A_GROUP = 4096
_TOKENS_A_GROUP = 4 << 20


class RowWriter:
    """One parquet file; it is made with the first row, so a split without rows has no file."""

    def __init__(
        self,
        path: Path,
        schema: pa.Schema = ROW_SCHEMA,
        *,
        with_source: bool = False,
        preference: pa.Field | None = None,
    ) -> None:
        """`schema` is `ROW_SCHEMA`, or `TEST_SCHEMA` for rows with prompt and reference.

        `with_source`: rows also say which source they are of. `preference`: the column in which they say what is
        preferred.
        """
        self.path = path
        self.rows = 0
        self._tested = schema is TEST_SCHEMA
        self._schema = schema.append(SOURCE) if with_source else schema
        self._preference = preference
        if preference is not None:
            self._schema = self._schema.append(preference)
        self._preferences: list[int | bool | None] = []
        self._with_source = with_source
        self._sources: list[int] = []
        self._has_weights = False
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[Encoded] = []
        self._prompts: list[Any] = []
        self._references: list[str] = []
        self._tool_calls: list[str | None] = []
        self._tokens = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def add(
        self,
        row: Encoded,
        prompt_ids: list[int] | None = None,
        reference: str = "",
        tool_calls: tuple[ToolCall, ...] | None = None,
        source: int = NO_SOURCE,
        *,
        preference: int | bool | None = None,
    ) -> None:
        """Append a row; `prompt_ids`, `reference` and `tool_calls` belong to `TEST_SCHEMA`, `source` to `SOURCE`.

        `preference` is the value in the column of preferences.
        """
        self.rows += 1
        self._preferences.append(preference)
        self._sources.append(source)
        self._pending.append(row)
        self._tokens += len(row.input_ids)
        if self._tested:
            self._prompts.append(np.array(prompt_ids or [], dtype=np.int32))
            self._references.append(reference)
            self._tool_calls.append(None if tool_calls is None else calls_as_text(tool_calls))
        if len(self._pending) >= _ROWS_A_GROUP or self._tokens >= _TOKENS_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        ids = [row.input_ids for row in self._pending]
        columns = [
            lists(ids),
            lists([row.targets for row in self._pending]),
            pa.array([len(row) for row in ids], pa.int32()),
        ]
        if self._tested:
            columns += [
                lists(self._prompts),
                pa.array(self._references, pa.string()),
                pa.array(self._tool_calls, pa.string()),
            ]
        if self._with_source:
            columns.append(pa.array(self._sources, pa.int16()))
        if self._preference is not None:
            columns.append(pa.array(self._preferences, self._preference.type))
        if not self._has_weights and any(row.weights is not None for row in self._pending):
            self._add_weights()
        if self._has_weights:
            columns.append(lists([row.weights for row in self._pending], WEIGHTS.type))
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, self._schema, compression="zstd")
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._pending, self._sources, self._preferences, self._tokens = [], [], [], 0
        self._prompts, self._references, self._tool_calls = [], [], []

    def _add_weights(self) -> None:
        """Give the file its column of weights; rows that are written already get none."""
        self._has_weights = True
        self._schema = self._schema.append(WEIGHTS)
        if self._writer is None:
            return
        self._writer.close()
        before = self.path.rename(self.path.with_suffix(".without-weights"))
        self._writer = pq.ParquetWriter(self.path, self._schema, compression="zstd")
        with pq.ParquetFile(before) as file:
            for number in range(file.num_row_groups):
                group = file.read_row_group(number)
                self._writer.write_table(group.append_column(WEIGHTS, pa.nulls(len(group), WEIGHTS.type)))
        before.unlink()


def lists(arrays: list[Any], kind: pa.DataType | None = None) -> pa.Array:
    """Make lists of one column of arrays; None becomes null, for which `kind` must be given."""
    if any(array is None for array in arrays):
        return pa.array(arrays, kind)
    offsets = np.zeros(len(arrays) + 1, dtype=np.int32)
    np.cumsum([len(array) for array in arrays], out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(arrays)))
