"""A file of any kind that is cut off or damaged anywhere ends the run, also where bad rows may be left out."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from lora_contract.exit_codes import ExitCode
from lora_trainer.data.reading.dataset import read_rows
from lora_trainer.data.reading.files import DataFile, classify
from lora_trainer.data.rows import RawRow
from lora_trainer.errors import TrainerError
from support.prepared_data import chat, lines, run

_NOISE = random.Random(1)
ROWS = [chat(f"Question {n}? {_NOISE.randbytes(40).hex()}", f"Answer {n}, größe \\ 1.5.") for n in range(60)]
PAIRS = [{"prompt": "Question?", "completion": f'A "quoted",\nanswer {n}.'} for n in range(60)]
HALF = len(ROWS) // 2


def _csv() -> bytes:
    quoted = ['"{prompt}","{completion}"'.format(**{k: v.replace('"', '""') for k, v in row.items()}) for row in PAIRS]
    return "\n".join(["prompt,completion", *quoted, ""]).encode()


def _parquet(**options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink, row_group_size=20, **options)
    return sink.getvalue()


def _zstd_with_checksum(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


class Kind(NamedTuple):
    """A whole file, and the places behind which nothing is missing when it is cut there."""

    name: str
    content: Callable[[], bytes]
    complete: Callable[[bytes], set[int]] = lambda content: {len(content)}


def _line_ends(content: bytes) -> set[int]:
    """Where a text file may end: before and behind each line break, a last row needs none."""
    return {place + more for place, byte in enumerate(content) if byte == ord("\n") for more in (0, 1)}


KINDS = {
    "jsonl": Kind("a.jsonl", lambda: lines(ROWS), _line_ends),
    "json array": Kind("a.json", lambda: json.dumps(ROWS, ensure_ascii=False).encode()),
    "json array over lines": Kind("a.json", lambda: json.dumps(ROWS, indent=2).encode()),
    "gzip": Kind("a.jsonl.gz", lambda: gzip.compress(lines(ROWS))),
    "gzip, second of two members": Kind(
        "a.jsonl.gz", lambda: gzip.compress(lines(ROWS[:HALF])) + gzip.compress(lines(ROWS[HALF:]))
    ),
    "gzip of an array": Kind("a.json.gz", lambda: gzip.compress(json.dumps(ROWS).encode())),
    "gzip of csv": Kind("a.csv.gz", lambda: gzip.compress(_csv())),
    "zstd": Kind("a.jsonl.zst", lambda: zstandard.compress(lines(ROWS))),
    "zstd with checksum": Kind("a.jsonl.zst", lambda: _zstd_with_checksum(lines(ROWS))),
    "zstd, second of two frames": Kind(
        "a.jsonl.zst", lambda: zstandard.compress(lines(ROWS[:HALF])) + zstandard.compress(lines(ROWS[HALF:]))
    ),
    "zstd of an array": Kind("a.json.zst", lambda: zstandard.compress(json.dumps(ROWS).encode())),
    "zstd of csv": Kind("a.csv.zst", lambda: zstandard.compress(_csv())),
    "parquet": Kind("a.parquet", _parquet),
    "parquet in gzip": Kind("a.parquet.gz", lambda: gzip.compress(_parquet())),
    "parquet in zstd": Kind("a.parquet.zst", lambda: zstandard.compress(_parquet())),
}
CUTS: dict[str, Callable[[bytes], int]] = {
    "a tenth": lambda content: len(content) // 10,
    "a half": lambda content: len(content) // 2,
    "nine tenths": lambda content: len(content) * 9 // 10,
    "all but nine": lambda content: len(content) - 9,
    "all but four": lambda content: len(content) - 4,
    "all but two": lambda content: len(content) - 2,
    "all but one": lambda content: len(content) - 1,
}


def _stored(folder: Path, name: str, content: bytes) -> DataFile:
    path = folder / name
    path.write_bytes(content)
    return DataFile(name, path, *classify(name))


@pytest.mark.parametrize("bad_rows", ["Fail", "Skip"])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("case", KINDS)
def test_a_file_that_is_cut_off_ends_the_run_by_its_name(case: str, cut: str, bad_rows: str, tmp_path: Path) -> None:
    kind = KINDS[case]
    whole = kind.content()
    length = CUTS[cut](whole)
    if length in kind.complete(whole):
        pytest.skip("nothing shows that a text file was cut between two rows")

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [_stored(tmp_path, kind.name, whole[:length])], dataset__onBadRows=bad_rows)

    error = raised.value
    assert error.exit_code is ExitCode.BAD_DATA
    assert error.message.startswith(kind.name)
    assert "is cut off" in error.message or "is damaged" in error.message
    assert str(error.param).startswith(kind.name)
    assert "upload" in str(error.hint)


@pytest.mark.parametrize("bad_rows", ["Fail", "Skip"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", gzip.compress(lines(ROWS))),
        ("a.jsonl.zst", _zstd_with_checksum(lines(ROWS))),
        ("a.parquet", _parquet(compression="zstd", write_page_checksum=True)),
        ("a.parquet", _parquet(compression="none", write_page_checksum=True)),
    ],
    ids=["gzip", "zstd", "parquet of zstd pages", "parquet of plain pages"],
)
def test_a_file_with_a_changed_byte_ends_the_run_by_its_name(
    name: str, content: bytes, bad_rows: str, tmp_path: Path
) -> None:
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 0x20]) + content[middle + 1 :]

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [_stored(tmp_path, name, changed)], dataset__onBadRows=bad_rows)

    assert raised.value.exit_code is ExitCode.BAD_DATA
    assert raised.value.message.startswith(f"{name} is damaged")


FIRST, SECOND = b'{"a": 1}\n', b'{"a": 2}\n'
#: A file of two rows in two parts, of which the first would be a whole file.
SMALL = {
    "a.jsonl.gz": (gzip.compress(FIRST), gzip.compress(SECOND)),
    "a.jsonl.zst": (zstandard.compress(FIRST), _zstd_with_checksum(SECOND)),
    "a.json": (b"", b'[{"a": "\\u00e9 \xc3\xa9"}, {"a": -1.5e3}]'),
}


@pytest.mark.parametrize("name", SMALL)
def test_there_is_no_byte_without_which_a_file_is_taken_for_whole(name: str, tmp_path: Path) -> None:
    first, second = SMALL[name]
    assert len(_read(tmp_path, name, first + second)) == 2

    for length in range(1, len(first + second)):
        if length != len(first):
            with pytest.raises(TrainerError, match=r"is cut off|is damaged"):
                _read(tmp_path, name, (first + second)[:length])


def test_csv_that_is_cut_inside_a_row_ends_the_run(tmp_path: Path) -> None:
    # Rows of two quoted fields, in a file that is cut so that a quote is open or a field is missing
    whole = _csv()
    header = whole.index(b"\n") + 1
    cuts = [n for n in range(header + 1, len(whole)) if whole[:n].count(b'"') % 2 or whole[n - 1 : n] not in b'",\n']

    # It is never read as a shorter file
    assert len(cuts) > len(whole) * 0.8
    for length in cuts[:: len(cuts) // 300]:
        with pytest.raises(TrainerError, match=r"a\.csv, line \d+: is cut off|a\.csv, line \d+ is cut off"):
            _read(tmp_path, "a.csv", whole[:length])


def test_wherever_the_last_line_is_cut_it_is_not_taken_for_a_bad_row(tmp_path: Path) -> None:
    row = r'{"a": "\u00e9 \\ é \" x", "n": -1.5e-7, "m": [12, 1E+3], "t": true, "f": false, "z": null, "l": [{}, []]}'
    content = row.encode()

    for length in range(1, len(content)):
        with pytest.raises(TrainerError, match=r"^a\.jsonl, line 2 is cut off"):
            _read(tmp_path, "a.jsonl", lines(ROWS[:1]) + content[:length])
        with pytest.raises(
            TrainerError, match=r"^a\.json, element 2 \(line 1\) is cut off|^a\.json, line 1 is cut off"
        ):
            _read(tmp_path, "a.json", b'[{"a": 1}, ' + content[:length])


def _read(folder: Path, name: str, content: bytes) -> list[RawRow]:
    return list(read_rows(_stored(folder, name, content)))
