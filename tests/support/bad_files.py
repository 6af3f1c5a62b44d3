"""Bad files of a dataset, and what each must end in."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.data.reading.files import DataFile, classify
from lora_trainer.errors import TrainerError
from support.prepared_data import chat, lines, run

GOOD_LINE = lines([chat("How are you?", "Fine.")])


@dataclass(frozen=True)
class Bad:
    """A file as it is stored, the words it must end in, and the place they must name."""

    name: str
    content: bytes | Callable[[], bytes]
    message: str
    param: str
    changes: dict[str, Any] = field(default_factory=dict)


def assert_refused(bad: Bad, folder: Path) -> None:
    """Read the file as a dataset: it ends in its words, which name the place and say what to do."""
    kind, compression = classify(bad.name)
    path = folder / bad.name
    path.write_bytes(bad.content() if callable(bad.content) else bad.content)

    with pytest.raises(TrainerError) as raised:
        run(folder, [DataFile(bad.name, path, kind, compression)], **bad.changes)

    assert bad.message in raised.value.message
    assert raised.value.param == bad.param
    assert raised.value.exit_code is ExitCode.BAD_DATA
    assert raised.value.hint


def parquet(table: pa.Table, **options: Any) -> bytes:
    """A table as the bytes of a parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def with_page_size(content: bytes, size: int) -> bytes:
    """A parquet file whose first page claims to hold so many bytes, compressed and not; it is as long as before.

    The header of a page is a struct of Thrift's compact protocol, whose second and third fields are these sizes.
    """
    first = len(b"PAR1") + 1
    second = _behind(content, first) + 1
    third = _behind(content, second) + 1
    end = _behind(content, third)
    claimed = _zigzag(size)
    header = content[:second] + claimed + content[second - 1 : second] + claimed
    return header + content[end + len(header) - end :]


def _behind(content: bytes, start: int) -> int:
    """The place behind the number that begins at `start`: of all its bytes but the last the highest bit is set."""
    return next(place for place in range(start, len(content)) if content[place] < 0x80) + 1


def _zigzag(number: int) -> bytes:
    number, found = number << 1, b""
    while number > 0x7F:
        found, number = found + bytes([number & 0x7F | 0x80]), number >> 7
    return found + bytes([number])


def pairs(prompts: list[Any], completions: list[Any]) -> bytes:
    """Prompts and completions as the bytes of a parquet file."""
    return parquet(pa.table({"prompt": prompts, "completion": completions}))
