"""Bad csv and parquet files end in words that name the place, what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from support.bad_files import GOOD_LINE, Bad, assert_refused, pairs, parquet, with_page_size

BAD: dict[str, Bad] = {
    "csv with too few fields": Bad(
        "a.csv", b"prompt,completion\nq,a\nonly\n", "a.csv, line 3: has 1 fields, the header has 2", "a.csv:3"
    ),
    "csv with commas unquoted": Bad("a.csv", b"prompt,completion\nq, and q,a\n", "line 2: has 3 fields", "a.csv:2"),
    "csv with an open quote": Bad(
        "a.csv", b'prompt,completion\nq,a\n"q,a\n', "a.csv, line 3: is cut off, or a quote that opens", "a.csv:3"
    ),
    "csv with a repeated column": Bad("a.csv", b"prompt,prompt\nq,a\n", "the header names 'prompt' twice", "a.csv:1"),
    "csv for Excel": Bad("a.csv", b"sep=,\nprompt,completion\nq,a\n", "names the separator for Excel", "a.csv:1"),
    "csv with semicolons": Bad(
        "a.csv", b"prompt;completion\nq;a\n", "columns are prompt;completion", "spec.dataset.columns"
    ),
    "csv in latin-1": Bad(
        "a.csv", "prompt,completion\ngröße,a\n".encode("latin-1"), "a.csv, line 2: is not UTF-8", "a.csv:2"
    ),
    "csv with a header alone": Bad("a.csv", b"prompt,completion\n", "the dataset has no rows", "spec.dataset.uri"),
    "csv with an empty field": Bad(
        "a.csv", b'prompt,completion\nq,a\n"two\nlines",\n', "a.csv, line 3: column", "a.csv:3"
    ),
    "not parquet": Bad("a.parquet", GOOD_LINE, "a.parquet holds plain text, not parquet data", "a.parquet"),
    "parquet cut off": Bad("a.parquet", lambda: pairs(["q"], ["a"])[:-20], "a.parquet is cut off", "a.parquet"),
    "parquet with null": Bad(
        "a.parquet", lambda: pairs(["q", "r"], ["a", None]), "row 2: column 'completion' is null", "a.parquet:2"
    ),
    "parquet with numbers": Bad(
        "a.parquet", lambda: pairs([1], [2]), "row 1: column 'prompt' is a number, expected a text", "a.parquet:1"
    ),
    "parquet in latin-1": Bad(
        "a.parquet",
        lambda: pairs(["q", "r"], pa.array([b"a", "größe".encode("latin-1")]).view(pa.string())),
        "a.parquet, row 2: column 'completion' holds a text that is not UTF-8 (byte 0xf6 at position 3)",
        "a.parquet:2",
    ),
    "parquet without rows": Bad(
        "a.parquet",
        lambda: parquet(pa.table({"prompt": pa.array([], pa.string())})),
        "has no rows",
        "spec.dataset.uri",
    ),
    "parquet with many columns": Bad(
        "a.parquet", lambda: parquet(pa.table({f"c{i}": ["x"] for i in range(1001)})), "has 1,001 columns", "a.parquet"
    ),
    "parquet bomb": Bad(
        "a.parquet",
        lambda: parquet(pa.table({"prompt": ["x" * 1000] * 100_000}), use_dictionary=False, compression="zstd"),
        "grows beyond 64 MiB when decompressed",
        "a.parquet",
    ),
    "parquet of equal rows without end": Bad(
        "a.parquet",
        lambda: pairs(pa.nulls(5_000_000, pa.string()), pa.nulls(5_000_000, pa.string())),
        "has 5,000,000 rows in",
        "a.parquet",
    ),
    "parquet with a row beyond the cap": Bad(
        "a.parquet", lambda: pairs(["q", "x" * 1_100_000], ["a", "b"]), "row 2: is longer than 1 MiB", "a.parquet:2"
    ),
    "csv with more columns than are read": Bad(
        "a.csv", lambda: ",".join(f"c{n}" for n in range(120_000)).encode(), "header has 120,000 columns", "a.csv:1"
    ),
    "parquet without text": Bad(
        "a.parquet", lambda: parquet(pa.table({"prompt": [b"q"]})), "has no column that holds text", "a.parquet"
    ),
    "csv with half a million columns": Bad(
        "a.csv", b"a," * 500_000 + b"b\n", "line 1: the header names 'a' twice", "a.csv:1"
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_refused_at_its_place(case: str, tmp_path: Path) -> None:
    assert_refused(BAD[case], tmp_path)


def test_what_a_page_claims_to_hold_takes_no_memory(tmp_path: Path) -> None:
    claims = with_page_size(pairs(["q"] * 9, ["a"] * 9), 2**31 - 1)

    assert_refused(Bad("a.parquet", claims, "a.parquet is damaged", "a.parquet"), tmp_path)

    assert pa.default_memory_pool().max_memory() < 1 << 29
