"""Tokens that an earlier prepare made of the same source: found by what a row says, instead of made again.

A file holds the tokens of one source in the order of its rows. They are used for a row of exactly the text and targets
that they were made of; which rows there are, their order, split and repetitions are decided anew each time.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data.conversations.plain_rows import Document
from lora_trainer.data.template.masking import Encoded
from lora_trainer.data.template.unrolling import Rendered
from lora_trainer.data.writer import lists

log = logging.getLogger(__name__)

KEY_BYTES = 16
SCHEMA = pa.schema(
    [
        pa.field("key", pa.binary(KEY_BYTES), nullable=False),
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("targets", pa.list_(pa.bool_()), nullable=False),
        pa.field("full_length", pa.int32(), nullable=False),
        pa.field("weights", pa.list_(pa.float32())),
        pa.field("prompt_ids", pa.list_(pa.int32())),
    ]
)
#: So many tokens of a source are kept, where each row counts as some more; rows behind them are tokenised each time.
MOST_TOKENS = 1 << 28
_ROW = 64
_NO_KEYS = np.array([], dtype=f"S{KEY_BYTES}")
_ROWS_A_GROUP = 4096
_TOKENS_A_GROUP = 4 << 20
#: Groups that are held in memory. Rows come in the order in which they were written.
_GROUPS_HELD = 2
#: More than a group ever has, in memory.
_MOST_BYTES_A_GROUP = 256 << 20


class Unusable(Exception):  # noqa: N818 - the rows are tokenised anew then
    """What was found holds no tokens that can be used."""


class RowTokens(NamedTuple):
    """The tokens of a row, and those of the prompt of its last answer where it is a test row."""

    tokens: Encoded
    prompt: list[int] | None = None


def key_of(content: Rendered | Document, *, tested: bool) -> bytes:
    """Compute what the tokens of a row are found by: everything that they follow from, but for the tokenizer."""
    if isinstance(content, Document):
        marks = "document"
    else:
        marks = f"{len(content.prompt)} {content.spans} {content.weights} {tested}"
    return hashlib.blake2b(f"{marks}\0{content.text}".encode(), digest_size=KEY_BYTES).digest()


class FoundTokens:
    """The file of an earlier prepare."""

    def __init__(self, path: Path, vocabulary: int, max_length: int) -> None:
        """Read the keys. `vocabulary` is the number of tokens that the model knows, `max_length` the most of a row.

        Raises:
            Unusable: the file is none of ours.
        """
        self._vocabulary, self._max_length = vocabulary, max_length
        try:
            self._file = pq.ParquetFile(path)
            if not self._file.schema_arrow.equals(SCHEMA):
                raise Unusable("has other columns")
            groups = [self._file.metadata.row_group(number) for number in range(self._file.num_row_groups)]
            if any(group.total_byte_size > _MOST_BYTES_A_GROUP for group in groups):
                raise Unusable("has larger parts than any that is written")
            keys = self._file.read(["key"])["key"].combine_chunks()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise Unusable(str(error)[:200]) from error
        # A key that ends with zeros is as good as the same without: all are of one length.
        found = np.frombuffer(keys.buffers()[1], dtype=f"S{KEY_BYTES}", count=len(keys)) if len(keys) else _NO_KEYS
        self._order = np.argsort(found, kind="stable")
        self._keys = found[self._order]
        self._starts = np.cumsum([0, *(group.num_rows for group in groups)])
        self._held: OrderedDict[int, _Group] = OrderedDict()

    def find(self, keys: Sequence[bytes]) -> list[RowTokens | None]:
        """Give the tokens for each key; None: they are not there.

        Raises:
            Unusable: what is there are no tokens of this model.
        """
        if not len(self._keys) or not keys:
            return [None] * len(keys)
        wanted = np.array(keys, dtype=f"S{KEY_BYTES}")
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        rows = np.where(self._keys[places] == wanted, self._order[places], -1)
        return [None if row < 0 else self._row(int(row)) for row in rows]

    def _row(self, row: int) -> RowTokens:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        if number not in self._held:
            try:
                self._held[number] = _Group(self._file.read_row_group(number), self._vocabulary, self._max_length)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise Unusable(str(error)[:200]) from error
            while len(self._held) > _GROUPS_HELD:
                self._held.popitem(last=False)
        return self._held[number].row(row - int(self._starts[number]))


class _Group:
    """The rows of one group, checked as far as can be told without making them anew."""

    def __init__(self, table: pa.Table, vocabulary: int, max_length: int) -> None:
        self._ids, self._targets, self._weights, self._prompts = (
            _Lists(table[name].combine_chunks()) for name in ("input_ids", "targets", "weights", "prompt_ids")
        )
        self._full_lengths = table["full_length"].to_numpy()
        for tokens in (self._ids.values, self._prompts.values):
            if len(tokens) and not 0 <= tokens.min() <= tokens.max() < vocabulary:
                raise Unusable("holds tokens that the model has not")
        if not np.array_equal(self._ids.offsets, self._targets.offsets):
            raise Unusable("has another number of targets than of tokens")
        lengths = np.diff(self._ids.offsets)
        if not (lengths.min() >= 1 and lengths.max() <= max_length and (lengths <= self._full_lengths).all()):
            raise Unusable("has rows of lengths that are never written")
        if not ((self._weights.values >= 0) & (self._weights.values <= 1)).all():
            raise Unusable("has weights that are not between 0 and 1")

    def row(self, number: int) -> RowTokens:
        ids, targets = self._ids[number], self._targets[number]
        assert ids is not None and targets is not None  # noqa: S101, PT018 - the schema has no nulls there
        weights, prompt = self._weights[number], self._prompts[number]
        if weights is not None and len(weights) != len(ids):
            raise Unusable("has another number of weights than of tokens")
        return RowTokens(
            Encoded(ids, targets, int(self._full_lengths[number]), weights), None if prompt is None else prompt.tolist()
        )


class _Lists:
    """A column of lists as arrays."""

    def __init__(self, column: pa.ListArray) -> None:
        if column.values.null_count:
            raise Unusable("lacks values in its rows")
        self.offsets: npt.NDArray[np.int32] = column.offsets.to_numpy()
        self.values: npt.NDArray[Any] = column.values.to_numpy(zero_copy_only=False)
        self._valid: npt.NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)

    def __getitem__(self, number: int) -> npt.NDArray[Any] | None:
        return self.values[self.offsets[number] : self.offsets[number + 1]] if self._valid[number] else None


class SourceTokens:
    """Gives the tokens of the rows of one source: found, or made; and writes them for the next prepare."""

    def __init__(self, found: FoundTokens | None, into: Path) -> None:
        """`into` is the file that is written."""
        #: Rows whose tokens were made.
        self.made = 0
        self._has_new = False
        self._found = found
        self._into = into
        self._stack = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[tuple[bytes, RowTokens]] = []
        self._pending_tokens = self._tokens = 0

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write all rows of the block, in place of those of an earlier one; no file stays where all were found."""
        self.made = self._tokens = 0
        self._has_new = False
        with pq.ParquetWriter(self._into, SCHEMA, compression="zstd") as self._writer:
            yield
            self._flush()
        if not self._has_new:
            self._into.unlink()

    def encoded(self, keys: Sequence[bytes], make: Callable[[Sequence[int]], list[RowTokens]]) -> list[RowTokens]:
        """Give the tokens of rows by their keys; `make` makes those of the rows at some indices."""
        rows = self._find(keys)
        missing = [index for index, row in enumerate(rows) if row is None]
        made = dict(zip(missing, make(missing) if missing else [], strict=True))
        complete = [made[index] if row is None else row for index, row in enumerate(rows)]
        self.made += len(missing)
        if self._tokens < MOST_TOKENS:
            self._has_new |= bool(missing)
            for key, row in zip(keys, complete, strict=True):
                self._write(key, row)
        return complete

    def _find(self, keys: Sequence[bytes]) -> list[RowTokens | None]:
        try:
            return [None] * len(keys) if self._found is None else self._found.find(keys)
        except Unusable as error:
            log.warning("tokens of an earlier prepare are made anew, since the file %s", error)
            self._found = None
            return [None] * len(keys)

    def _write(self, key: bytes, row: RowTokens) -> None:
        self._pending.append((key, row))
        self._pending_tokens += len(row.tokens.input_ids)
        if len(self._pending) >= _ROWS_A_GROUP or self._pending_tokens >= _TOKENS_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        if not self._pending or self._writer is None:
            return
        tokens = [row.tokens for _, row in self._pending]
        prompts = [None if row.prompt is None else np.array(row.prompt, dtype=np.int32) for _, row in self._pending]
        columns = [
            pa.array([key for key, _ in self._pending], SCHEMA.field("key").type),
            lists([each.input_ids for each in tokens]),
            lists([each.targets for each in tokens]),
            pa.array([each.full_length for each in tokens], pa.int32()),
            lists([each.weights for each in tokens], SCHEMA.field("weights").type),
            lists(prompts, SCHEMA.field("prompt_ids").type),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
        self._tokens += self._pending_tokens + _ROW * len(self._pending)
        self._pending, self._pending_tokens = [], 0


def longest(spec: LoRAFineTuneSpec, source: str) -> int:
    """Give the most tokens that a row of a source has here: documents are kept whole, and cut into rows later."""
    chat = any(each.name == source and each.settings.is_chat for each in spec.dataset.data_sources)
    return spec.training.max_length if chat else MOST_TOKENS


def opened(found: str | None, into: str, vocabulary: int, max_length: int) -> SourceTokens:
    """Open what an earlier prepare left of a source, where it can be used; `into` is written for the next one.

    `vocabulary` is the number of tokens that the model knows, `max_length` the most of a row.
    """
    try:
        return SourceTokens(None if found is None else FoundTokens(Path(found), vocabulary, max_length), Path(into))
    except Unusable as error:
        log.warning("tokens of an earlier prepare are made anew, since the file %s", error)
        return SourceTokens(None, Path(into))


#: The tokens of each source that has a file, by its name.
Known = Mapping[str, SourceTokens]
