"""Files that are no data files as a whole, and datasets that leave no rows, end in words that say what to do."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
import zstandard

from lora_trainer.data.reading.files import DataFile, classify
from lora_trainer.errors import TrainerError
from support.bad_files import GOOD_LINE, Bad, assert_refused, pairs
from support.prepared_data import chat, data_file, lines, run


def _truncated_gzip() -> bytes:
    noise = random.Random(1).randbytes(50_000).hex()
    return gzip.compress(lines([chat(noise, "Answer.")]))[:20_000]


BAD: dict[str, Bad] = {
    "a page of a web server": Bad(
        "a.jsonl", b"<!DOCTYPE html><html>...", "a.jsonl holds HTML data, not text", "a.jsonl"
    ),
    "an empty file": Bad("a.jsonl", b"", "the dataset has no rows", "spec.dataset.uri"),
    "blank lines only": Bad("a.jsonl", b"\n \n\n", "the dataset has no rows", "spec.dataset.uri"),
    "an empty array": Bad("a.json", b"[]", "the dataset has no rows", "spec.dataset.uri"),
    "jsonl that is gz": Bad("a.jsonl", gzip.compress(GOOD_LINE), "a.jsonl holds gzip data, not text", "a.jsonl"),
    "csv that is zst": Bad("a.csv", zstandard.compress(GOOD_LINE), "a.csv holds zstd data, not text", "a.csv"),
    "jsonl that is a workbook": Bad("a.csv", b"PK\x03\x04" + bytes(40), "a.csv holds zip data, not text", "a.csv"),
    "gz twice": Bad("a.jsonl.gz", gzip.compress(gzip.compress(GOOD_LINE)), "is compressed twice", "a.jsonl.gz"),
    "json that is parquet": Bad("a.json", lambda: pairs(["q"], ["a"]), "a.json holds parquet data", "a.json"),
    "gz that is plain": Bad("a.jsonl.gz", GOOD_LINE, "a.jsonl.gz holds plain text, not gzip data", "a.jsonl.gz"),
    "gz cut off": Bad("a.jsonl.gz", _truncated_gzip, "a.jsonl.gz is cut off", "a.jsonl.gz"),
    "zst that is gz": Bad(
        "a.jsonl.zst", gzip.compress(GOOD_LINE), "a.jsonl.zst holds gzip data, not zstd", "a.jsonl.zst"
    ),
    "gz bomb in one line": Bad(
        "a.jsonl.gz", lambda: gzip.compress(b" " * (70 << 20), 1), "grows beyond 64 MiB when decompressed", "a.jsonl.gz"
    ),
    "zst bomb": Bad(
        "a.csv.zst",
        lambda: zstandard.compress(b"prompt,completion\n" + (b"x" * 500_000 + b",a\n") * 140),
        "grows beyond 64 MiB when decompressed",
        "a.csv.zst",
    ),
    "empty lines without end": Bad(
        "a.csv.gz",
        lambda: gzip.compress(b"prompt,completion\n" + b"\n" * (9 << 20)),
        "more than 10000 empty",
        "a.csv.gz",
    ),
    "maxLength before every answer": Bad(
        "a.jsonl",
        lines([chat("a long question " * 40, "Answer.")]),
        "training.maxLength 16 cuts every row before its answer",
        "spec.training.maxLength",
        {"training__maxLength": 16},
    ),
    "everything held out": Bad(
        "a.jsonl",
        lines([chat("3", "Answer.")]),
        "no training rows are left: 1 row read, 0 bad, 0 repeated, 0 without an answer after cutting, 1 held out",
        "spec.dataset.split",
        {"dataset__split": {"validation": 0.5, "test": 0.49, "seed": 1}},
    ),
    "only bad rows": Bad(
        "a.jsonl",
        b"{oops}\n" * 5,
        "not one of 5 rows is good; the first: a.jsonl, line 1: is not JSON",
        "spec.dataset.uri",
        {"dataset__onBadRows": "Skip"},
    ),
    "more bad rows than may be skipped": Bad(
        "a.jsonl",
        GOOD_LINE + b"{\n" * 3,
        "more than 2 bad rows (dataset.maxBadRows); the first: a.jsonl, line 2: is not JSON",
        "spec.dataset.maxBadRows",
        {"dataset__onBadRows": "Skip", "dataset__maxBadRows": 2},
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_holds_something_else_or_nothing_to_learn_is_refused(case: str, tmp_path: Path) -> None:
    assert_refused(BAD[case], tmp_path)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.txt", "a.py", "a.pkl", "jsonl", "a.jsonl.bz2", "a.xlsx"])
def test_a_file_that_is_no_data_file_by_its_name_is_refused(name: str) -> None:
    with pytest.raises(TrainerError, match="is not a data file by its name"):
        classify(name)


def test_a_name_without_an_ending_is_to_get_one() -> None:
    with pytest.raises(TrainerError) as raised:
        classify("data.v2/rows")
    assert str(raised.value.hint).startswith("give the name its ending, such as .jsonl")


@pytest.mark.parametrize(("before", "advised"), [(b"", False), (GOOD_LINE, True)])
def test_leaving_bad_rows_out_is_advised_only_where_a_row_is_good(before: bytes, advised: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(before + b"{oops}\n")

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [DataFile("a.jsonl", path, "jsonl", "")])

    assert ("Skip" in str(raised.value.hint)) is advised


def test_bad_rows_are_left_out_and_counted_when_the_spec_says_so(tmp_path: Path) -> None:
    content = lines([chat("Q", "A")]) + b"{oops\n" + lines([chat("", "A"), chat("R", "A")])

    result = run(tmp_path, [data_file(tmp_path, "a.jsonl", content)], dataset__onBadRows="Skip")

    assert result.profile.rows["train"] == 2
    assert result.profile.bad_rows == 2
    assert [text.split(":")[0] for text in result.profile.bad_row_examples] == ["a.jsonl, line 2", "a.jsonl, line 3"]


def test_another_encoding_is_not_to_be_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD_LINE + '{"prompt": "größe"}\n'.encode("latin-1"))

    with pytest.raises(TrainerError) as raised:
        run(tmp_path, [DataFile(path.name, path, *classify(path.name))])

    assert "UTF-8" in str(raised.value.hint)
    assert "Skip" not in str(raised.value.hint)
