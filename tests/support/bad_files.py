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


def pairs(prompts: list[Any], completions: list[Any]) -> bytes:
    """Prompts and completions as the bytes of a parquet file."""
    return parquet(pa.table({"prompt": prompts, "completion": completions}))
