"""Tokens of an earlier prepare are used for rows of the same text and targets, and for no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lora_contract.finetune import LoRAFineTuneSpec
from lora_trainer.data import known_tokens, pipeline
from lora_trainer.data.reading.dataset import Dataset
from lora_trainer.data.reading.files import DataFile, classify
from support.prepared_data import chat, lines, spec, template
from support.specs import REMOVED

ROWS = 500
DOCUMENTS = [{"text": f"Document {number}. " * (1 + number % 90)} for number in range(ROWS)]
CHATS = [chat(f"Question {number}?", "First.", f"More of {number}?", "Second.") for number in range(ROWS)]
WEIGHTED = [
    {"messages": [turn | ({"weight": 0.5} if turn["content"] == "First." else {}) for turn in row["messages"]]}
    for row in CHATS
]


def _prepare(folder: Path, rows: dict[str, list[Any]], before: Path | None = None, **changes: Any) -> dict[str, int]:
    """Prepare sources into a folder, with the tokens that lie in another: rows of each source that were tokenised."""
    folder.mkdir()
    files, known = [], {}
    for name, values in rows.items():
        path = folder / f"{name}.jsonl"
        path.write_bytes(lines(values))
        files.append(DataFile(path.name, path, *classify(path.name), source=name))
        found = None if before is None else str(before / f"{name}.tokens")
        most = known_tokens.longest(_spec(files, **changes), name)
        into = str(folder / f"{name}.tokens")
        known[name] = known_tokens.opened(found, into, len(template().tokenizer), most)
    (folder / "prepared").mkdir()
    pipeline.run(_spec(files, **changes), Dataset(files), template(), folder / "prepared", known=known)
    return {name: tokens.made for name, tokens in known.items()}


def _spec(files: list[DataFile], **changes: Any) -> LoRAFineTuneSpec:
    sources = [
        {
            "name": file.source,
            "uri": f"s3://data/{file.name}",
            **({"format": "text"} if "document" in file.name else {}),
        }
        for file in files
    ]
    return spec(
        dataset__uri=REMOVED, dataset__sources=sources, dataset__split={"validation": 0.1, "test": 0.2}, **changes
    )


def _written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "prepared").iterdir()}


@pytest.mark.parametrize("rows", [CHATS, WEIGHTED, DOCUMENTS], ids=["chats", "weighted", "documents"])
def test_rows_of_known_tokens_are_those_of_made_ones(rows: list[Any], tmp_path: Path) -> None:
    # A short limit cuts conversations, and makes several rows of long documents.
    name, limit = "documents" if rows is DOCUMENTS else "chats", {"training__maxLength": 64}
    made = _prepare(tmp_path / "first", {name: rows}, **limit)
    again = _prepare(tmp_path / "again", {name: rows}, tmp_path / "first", **limit)

    assert made == {name: ROWS}
    assert again == {name: 0}
    assert _written(tmp_path / "again") == _written(tmp_path / "first")


def test_the_same_text_with_other_targets_is_tokenised_anew(tmp_path: Path) -> None:
    _prepare(tmp_path / "first", {"chats": CHATS})
    again = _prepare(tmp_path / "again", {"chats": WEIGHTED[:250] + CHATS[250:]}, tmp_path / "first")
    _prepare(tmp_path / "afresh", {"chats": WEIGHTED[:250] + CHATS[250:]})

    assert again == {"chats": 250}
    assert _written(tmp_path / "again") == _written(tmp_path / "afresh")


def test_another_split_tokenises_the_prompts_of_its_test_rows(tmp_path: Path) -> None:
    _prepare(tmp_path / "first", {"chats": CHATS})
    again = _prepare(tmp_path / "again", {"chats": CHATS}, tmp_path / "first", dataset__split__seed=7)
    _prepare(tmp_path / "afresh", {"chats": CHATS}, dataset__split__seed=7)

    assert 0 < again["chats"] < ROWS / 2
    assert _written(tmp_path / "again") == _written(tmp_path / "afresh")


def test_what_is_no_file_of_tokens_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "chats.tokens").write_bytes(b"no parquet")

    assert _prepare(tmp_path / "again", {"chats": CHATS}, tmp_path / "before") == {"chats": ROWS}


def test_rows_beyond_the_most_are_tokenised_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Rows are written 100 at a time, and the first of them are more tokens than are kept.
    monkeypatch.setattr(known_tokens, "MOST_TOKENS", 1)
    monkeypatch.setattr(known_tokens, "_ROWS_A_GROUP", 100)
    monkeypatch.setattr(pipeline, "_BATCH_ROWS", 100)

    _prepare(tmp_path / "first", {"chats": CHATS})
    again = _prepare(tmp_path / "again", {"chats": CHATS}, tmp_path / "first")

    assert again == {"chats": ROWS - 100}
    assert _written(tmp_path / "again") == _written(tmp_path / "first")
    assert not (tmp_path / "again" / "chats.tokens").exists(), "there is nothing new to be kept"


FORGED: dict[str, dict[str, Any]] = {
    "a row that is too long": {"input_ids": [5] * 5000, "targets": [True] * 5000, "full_length": 5000},
    "a row without tokens": {"input_ids": [], "targets": []},
    "targets that are missing": {"input_ids": [5, 6], "targets": [True, None]},
    "a weight that is no number": {"input_ids": [5, 6], "targets": [True, True], "weights": [1.0, float("nan")]},
    "a weight below zero": {"input_ids": [5, 6], "targets": [True, True], "weights": [1.0, -5.0]},
    "a length that cannot be": {"full_length": -1},
}


@pytest.mark.parametrize("what", FORGED)
def test_what_is_never_written_is_not_believed(what: str, tmp_path: Path) -> None:
    _prepare(tmp_path / "first", {"chats": CHATS})
    path = tmp_path / "first" / "chats.tokens"
    rows = pq.read_table(path).to_pylist()
    rows[7] |= FORGED[what]
    pq.write_table(pa.Table.from_pylist(rows, schema=known_tokens.SCHEMA), path)

    made = _prepare(tmp_path / "again", {"chats": CHATS}, tmp_path / "first")

    assert made == {"chats": ROWS}
    assert _written(tmp_path / "again") == _written(tmp_path / "first")
