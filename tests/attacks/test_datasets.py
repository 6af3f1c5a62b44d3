"""Hostile datasets and model folders: prepare ends in words for the user, within bounds of time and memory."""

from __future__ import annotations

import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from lora_contract.exit_codes import ExitCode
from lora_trainer import store as stores
from lora_trainer.data.reading.files import DataFile
from lora_trainer.data.reading.parquet_reader import read_parquet
from lora_trainer.errors import TrainerError
from lora_trainer.model_files import contents
from lora_trainer.prepare.stage import prepare
from support.chat_models import CONFIG, save_model
from support.hostile import refused
from support.prepare_orders import Place, order, place
from support.prepared_data import chat, lines
from support.seaweedfs import SeaweedFS

PAIR = b'{"prompt": "q", "completion": "a"}\n'
GOOD = lines([chat("How are you?", "Fine.")])
_BLOCK = 64 << 20
_BLOCKS_OF_10_GIB = 160


def _zstd(block: bytes) -> bytes:
    return zstandard.compress(block) * _BLOCKS_OF_10_GIB


def _gzip(block: bytes) -> bytes:
    return gzip.compress(block) * _BLOCKS_OF_10_GIB


def _parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def _pairs(prompts: Any, completions: Any) -> bytes:
    return _parquet(pa.table({"prompt": prompts, "completion": completions}))


def _footer_of(length: int) -> bytes:
    return _pairs(["q"], ["a"])[:-8] + struct.pack("<I", length) + b"PAR1"


def _noise_in_footer() -> bytes:
    whole = _pairs(["q"], ["a"])
    (length,) = struct.unpack("<I", whole[-8:-4])
    return whole[: -8 - length] + b"\xff" * length + whole[-8:]


def _one_text_in_ten_thousand_rows() -> bytes:
    text = pa.array(["x" * 400_000])
    rows = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), text)
    return _pairs(rows, rows)


def _many_columns() -> bytes:
    names = [f"{number:x}" for number in range(120_000)]
    return ",".join(names).encode() + b"\n" + (b"," * (len(names) - 1) + b"\n") * 8


def _run_length_coded() -> bytes:
    """A hundred million rows in some hundred thousand bytes."""
    sink, text = io.BytesIO(), pa.array(["x"])
    column = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()).take(pa.array([0] * 10_000_000)), text)
    table = pa.table({"prompt": column, "completion": column})
    with pq.ParquetWriter(sink, table.schema) as writer:
        for _ in range(10):
            writer.write_table(table)
    return sink.getvalue()


def _nested_type() -> bytes:
    kind = pa.string()
    for _ in range(90):
        kind = pa.list_(kind)
    value: Any = "x"
    for _ in range(90):
        value = [value]
    return _parquet(pa.table({"messages": pa.array([value], kind)}))


def _long_conversations() -> bytes:
    """60 KB of gzip: each conversation may cost seconds, since a template reads all turns before each answer."""
    return gzip.compress(lines(chat(f"Question {number}", *["again"] * 1501) for number in range(300)))


#: Name of the file, its content, words of the message, and the place that is named.
FILES: dict[str, tuple[str, Callable[[], bytes], str, str]] = {
    "zstd of zeros": ("a.jsonl.zst", lambda: _zstd(bytes(_BLOCK)), "", "a.jsonl.zst"),
    "gzip of zeros": ("a.jsonl.gz", lambda: _gzip(bytes(_BLOCK)), "", "a.jsonl.gz"),
    "zstd of blanks in csv": ("a.csv.zst", lambda: _zstd(b" " * _BLOCK), "", "a.csv.zst"),
    "zstd of blank lines": ("a.jsonl.zst", lambda: _zstd(b"\n" * _BLOCK), "", "a.jsonl.zst"),
    "zstd of opening brackets": ("a.json.zst", lambda: _zstd(b"[" * _BLOCK), "", "a.json.zst"),
    "zstd for parquet": ("a.parquet.zst", lambda: _zstd(bytes(_BLOCK)), "grows beyond", "a.parquet.zst"),
    "no gzip": ("a.jsonl.gz", lambda: GOOD, "holds plain text", "a.jsonl.gz"),
    "a footer of 4 GiB": ("a.parquet", lambda: _footer_of(2**32 - 1), "readable parquet", "a.parquet"),
    "a footer of 2 GiB": ("a.parquet", lambda: _footer_of(2**31 - 1), "readable parquet", "a.parquet"),
    "a footer of nothing": ("a.parquet", lambda: _footer_of(0), "readable parquet", "a.parquet"),
    "a footer of noise": ("a.parquet", _noise_in_footer, "readable parquet", "a.parquet"),
    "a footer alone": ("a.parquet", lambda: _pairs(["q"], ["a"])[-200:], "readable parquet", "a.parquet"),
    "a deep type": (
        "a.parquet",
        _nested_type,
        "a.parquet cannot be read: Parquet schema too deeply nested",
        "a.parquet",
    ),
    "rows that repeat one": ("a.jsonl.gz", lambda: gzip.compress(PAIR * 2_000_000), "repeat others", "a.jsonl.gz"),
    "long conversations in little room": ("a.jsonl.gz", _long_conversations, "processor time", "a.jsonl.gz:"),
    "elements without a column": ("a.json.gz", lambda: gzip.compress(b"[" + b"{}," * 21_000_000), "empty", "a.json.gz"),
    "csv of 120,000 columns": ("a.csv", _many_columns, "has 120,000 columns", "a.csv:1"),
    "runs of equal rows": ("a.parquet", _run_length_coded, "repeat others", "a.parquet"),
    "deep arrays": ("a.jsonl", lambda: GOOD + b"[" * 500_000 + b"\n", "nested too deeply", "a.jsonl:2"),
    "deep objects": ("a.jsonl", lambda: GOOD + b'{"a":' * 200_000 + b"\n", "nested too deeply", "a.jsonl:2"),
    "deep elements": ("a.json", lambda: b"[\n" + b'{"a":' * 200_000, "", "a.json:2"),
    "5000 digits": ("a.jsonl", lambda: GOOD + b'{"a": ' + b"9" * 5000 + b"}\n", "5,000 digits", "a.jsonl:2"),
    "5000 digits in json": ("a.json", lambda: b'[\n{"a": ' + b"9" * 5000 + b"}]", "5,000 digits", "a.json:2"),
    "an exponent": ("a.jsonl", lambda: b'{"messages": 1e999999999}\n', "is a number", "a.jsonl:1"),
    "a lone surrogate": ("a.jsonl", lambda: GOOD + json.dumps(chat("Q", "\ud800")).encode(), "surrogate", "a.jsonl:2"),
    "a lone surrogate as name": ("a.jsonl", lambda: b'{"\\ud800": 1}\n', "columns are", "spec.dataset.columns"),
    "NUL": ("a.jsonl", lambda: GOOD + lines([chat("a\0b", "A")]), "NUL", "a.jsonl:2"),
    "NUL in the file": ("a.jsonl", lambda: GOOD + b'{"mess\0ages": []}\n', "holds NUL bytes", "a.jsonl:2"),
    "escapes of a terminal": (
        "a.jsonl",
        lambda: lines([{"\x1b[2J\x1b]0;owned\x07": "x"}]),
        "owned",
        "spec.dataset.columns",
    ),
    "escapes in a role": (
        "a.jsonl",
        lambda: lines([{"messages": [{"role": "\x1b[31mroot\u202e", "content": "x"}]}]),
        "unknown role",
        "a.jsonl:1",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_hostile_file_is_named(case: str, tmp_path: Path) -> None:
    name, content, words, param = FILES[case]
    (tmp_path / name).write_bytes(content())

    error = refused(place(tmp_path, dataset__uri=f"file://{tmp_path}/{name}"))

    assert error.exit_code is ExitCode.BAD_DATA
    assert words in error.message
    assert str(error.param).startswith(param)
    assert _outside(tmp_path) <= {"model", "rows.jsonl", name, "scratch", "output"}


def test_a_parquet_file_that_repeats_one_text_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(_one_text_in_ten_thousand_rows())

    with pytest.raises(TrainerError, match="grows beyond 64 MiB") as raised:
        sum(1 for _ in read_parquet(DataFile("a.parquet", path, "parquet", "")))

    assert raised.value.exit_code is ExitCode.BAD_DATA


def _outside(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


NUMBERS = {"5000 digits": "9" * 5000, "deep nesting": "[" * 200_000}


@pytest.mark.parametrize("case", NUMBERS)
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_a_configuration_that_cannot_be_parsed_is_named(name: str, case: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    (folder / name).write_text(f'{{"vocab_size": {NUMBERS[case]}}}')

    assert refused(place(tmp_path)).exit_code is ExitCode.UNSUPPORTED


@pytest.mark.parametrize("file", ["../../secret.safetensors", "/etc/passwd", "a\x1b[2J\0.safetensors", "x/../../y"])
def test_an_index_cannot_name_files_outside_the_model(file: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": file}}))

    error = refused(place(tmp_path))

    assert error.exit_code is ExitCode.UNSUPPORTED
    assert "which is not there" in error.message


def test_code_that_is_asked_for_does_not_replace_what_the_trainer_knows(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    canary = tmp_path / "canary"
    (folder / "own.py").write_text(f"open({str(canary)!r}, 'w')\n")
    code = {"model_type": "own", "trust_remote_code": True, "auto_map": {"AutoConfig": "own.C"}}
    (folder / "config.json").write_text(json.dumps({**CONFIG, **code}))

    assert refused(place(tmp_path)).exit_code is ExitCode.UNSUPPORTED
    assert not canary.exists()


def test_folders_that_link_to_themselves_are_not_followed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "again").symlink_to(data)
    (data / "a.jsonl").symlink_to(data / "a.jsonl")

    error = refused(place(tmp_path, dataset__uri=f"file://{data}"))

    assert error.exit_code is ExitCode.INPUT_MISSING


@pytest.mark.parametrize("key", ["/etc/passwd.jsonl", "a\x1b[2J.jsonl", "a\nb.jsonl"])
def test_a_key_of_the_dataset_names_no_place_on_disk(key: str, tmp_path: Path, s3_environment: SeaweedFS) -> None:
    run = _on_s3(tmp_path, s3_environment, {f"data/{key}": b"no JSON\n"})

    _refused_on_s3(run)

    assert _outside(tmp_path) <= {"model", "scratch"}


@pytest.mark.parametrize("key", ["a\x1b[2J.json", "a\nb.json", "..json"])
def test_a_key_of_the_model_names_no_place_on_disk(key: str, tmp_path: Path, s3_environment: SeaweedFS) -> None:
    run = _on_s3(tmp_path, s3_environment, {f"model/{key}": b"{}", "data/a.jsonl": b"no JSON\n"})

    _refused_on_s3(run)

    assert _outside(tmp_path) <= {"model", "scratch"}


def test_a_file_of_a_model_with_a_name_that_no_disk_takes_is_refused() -> None:
    sizes = {"config.json": 2, "model.safetensors": 2, "n" * 400 + ".json": 2}

    with pytest.raises(TrainerError, match="name of 405 bytes") as raised:
        contents.check_listing(sizes, "org/model")

    assert raised.value.exit_code is ExitCode.UNSUPPORTED


def _on_s3(folder: Path, server: SeaweedFS, objects: dict[str, bytes]) -> Place:
    """A run whose model and dataset lie in a new bucket, with more objects than usual."""
    bucket, client = server.bucket(), server.client()
    for path in save_model(folder / "model").iterdir():
        client.upload_file(str(path), bucket, f"model/{path.name}")
    for key, content in objects.items():
        client.put_object(Bucket=bucket, Key=key, Body=content)
    uris = {
        "model.source": f"s3://{bucket}/model",
        "dataset.uri": f"s3://{bucket}/data/",
        "output.uri": f"s3://{bucket}/output",
    }
    return Place(folder, order(folder, uris))


def _refused_on_s3(run: Place) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        prepare(run.order, stores.from_environment(2))
    error = raised.value
    assert error.exit_code in (ExitCode.BAD_DATA, ExitCode.INPUT_MISSING, ExitCode.UNSUPPORTED), error.message
    assert error.message.isprintable()
    assert error.param
    return error
