"""Each type of file, compressed or not, reads to the same rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from support.bad_files import parquet
from support.chat_models import tokenizer
from support.prepared_data import chat, data_file, lines, run

PAIRS = [{"prompt": f"Question {n}, with comma?", "completion": f'A "quoted"\nanswer {n}.'} for n in range(5)]


def _csv(rows: list[dict[str, str]]) -> bytes:
    quoted = [",".join('"' + text.replace('"', '""') + '"' for text in row.values()) for row in rows]
    return "\r\n".join([",".join(rows[0]), *quoted, ""]).encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    return parquet(pa.Table.from_pylist(rows))


FILES: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "a.jsonl": lines,
    "a.ndjson": lambda rows: b"\xef\xbb\xbf" + lines(rows).replace(b"\n", b"\r\n") + b"\n\n",
    "a.json": lambda rows: json.dumps(rows, indent=2).encode(),
    "a.csv": _csv,
    "a.parquet": _parquet,
    "a.jsonl.gz": lines,
    "a.csv.gz": _csv,
    "a.jsonl.zst": lambda rows: zstandard.compress(lines(rows)),
    "a.json.zstd": lambda rows: zstandard.compress(json.dumps(rows).encode()),
    "a.parquet.gz": _parquet,
    "lines-in.json": lines,
    "array-in.jsonl": lambda rows: json.dumps(rows).encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_each_file_type_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    expected = run(tmp_path, [data_file(tmp_path, "expected.jsonl", lines(PAIRS))]).rows()

    result = run(tmp_path, [data_file(tmp_path, name, FILES[name](PAIRS))])

    assert result.rows() == expected
    assert result.profile.rows_read == {name: 5}
    assert result.profile.format == "prompt-completion (columns prompt, completion)"


def test_gz_members_that_follow_each_other_are_read_to_the_end(tmp_path: Path) -> None:
    file = data_file(tmp_path, "a.jsonl.gz", b"")
    file.path.write_bytes(b"".join(gzip.compress(lines([pair])) for pair in PAIRS))

    assert run(tmp_path, [file]).profile.rows["train"] == 5


def test_zst_frames_that_follow_each_other_are_read_to_the_end(tmp_path: Path) -> None:
    content = b"".join(zstandard.compress(lines([pair])) for pair in PAIRS)

    assert run(tmp_path, [data_file(tmp_path, "a.jsonl.zst", content)]).profile.rows["train"] == 5


def test_a_json_array_larger_than_the_buffer_is_read_whole(tmp_path: Path) -> None:
    rows = [chat(f"{n} " + "größe 東京 🚑 " * 500, f"Answer {n}.") for n in range(60)]
    content = json.dumps(rows, ensure_ascii=False).encode()
    assert len(content) > 4 * (1 << 16)

    result = run(tmp_path, [data_file(tmp_path, "a.json", content)], training__maxLength=30_000)

    assert result.profile.rows["train"] == 60
    assert "größe 東京 🚑 größe" in tokenizer("chatml").decode(result.rows()[59]["input_ids"])


def test_a_header_may_begin_as_the_bytes_of_another_format_do(tmp_path: Path) -> None:
    for name in ("PARENT", "PAR1", "ORCID", "BZh"):
        file = data_file(tmp_path, "a.csv", f"{name},prompt,completion\nx,q,a\n".encode())

        assert run(tmp_path, [file]).profile.rows["train"] == 1


def test_messages_in_a_csv_column_are_read_as_json(tmp_path: Path) -> None:
    content = _csv([{"id": "1", "messages": json.dumps(chat("Q", "A")["messages"])}])

    result = run(tmp_path, [data_file(tmp_path, "a.csv", content)])

    assert result.profile.rows["train"] == 1
    assert result.profile.ignored_columns == ["id"]


def test_columns_of_parquet_that_hold_no_text_are_told_too(tmp_path: Path) -> None:
    content = parquet(pa.table({"prompt": ["q"], "completion": ["a"], "embedding": [b"\x01"], "note": ["x"]}))

    profile = run(tmp_path, [data_file(tmp_path, "a.parquet", content)]).profile

    assert sorted(profile.ignored_columns) == ["embedding", "note"]
