"""Sources whose tokens are kept: the next prepare makes none anew, and writes what one that begins afresh writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lora_contract.report import Report
from lora_trainer import store as stores
from lora_trainer.prepare import source_tokens
from lora_trainer.prepare.stage import prepare
from support.prepare_bucket import Bucket
from support.prepared_data import chat, lines

SUPPORT = [chat(f"Support {n}?", f"Answer {n}.", "And then?", f"More {n}.") for n in range(300)]
GENERAL = [chat(f"General {n}?", f"So it is {n}.") for n in range(300)]
#: Names of prepared files.
FILES = ("train.parquet", "validation.parquet", "test.parquet")


class Runs:
    """Runs on the same sources, of which each says how many rows it tokenised."""

    def __init__(self, bucket: Bucket, log: pytest.LogCaptureFixture) -> None:
        self._bucket = bucket
        self._log = log
        log.set_level("INFO", logger="lora_trainer.prepare.stage")
        bucket.put("support.jsonl", lines(SUPPORT))
        bucket.put("general.jsonl", lines(GENERAL))

    def prepare(self, output: str = "output", **settings: dict[str, Any]) -> tuple[dict[str, int], dict[str, bytes]]:
        """Prepare sources with settings each: rows tokenised of each source, and the content of each prepared file."""
        self._log.clear()
        sources = [
            {"name": name, "uri": f"s3://{self._bucket.name}/{name}.jsonl", **more} for name, more in settings.items()
        ]
        changes = {
            "model.revision": "a" * 40,
            "dataset": {"sources": sources, "split": {"validation": 0.1, "test": 0.1}},
            "output.uri": f"s3://{self._bucket.name}/{output}/",
        }
        report = prepare(self._bucket.order(changes), stores.from_environment(5))
        found = re.findall(r"source (\S+): (\d+) rows were tokenised", self._log.text)
        return {name: int(count) for name, count in found}, self._rows(output, report)

    def _rows(self, output: str, report: Report) -> dict[str, bytes]:
        keys = {name: f"{output}/_work/{report.run_id}/prepared/{name}" for name in FILES}
        return {name: self.content(key) for name, key in keys.items()}

    def content(self, key: str) -> bytes:
        """The content of an object."""
        return bytes(self._bucket.client.get_object(Bucket=self._bucket.name, Key=key)["Body"].read())

    def kept(self, output: str = "output") -> list[str]:
        """The addresses of the tokens that are kept."""
        return self._bucket.keys(f"{output}/_work/tokens/")


@pytest.fixture
def runs(bucket: Bucket, caplog: pytest.LogCaptureFixture) -> Runs:
    return Runs(bucket, caplog)


def test_other_shares_of_the_same_sources_tokenise_nothing(runs: Runs) -> None:
    first, _ = runs.prepare(support={"share": 0.5}, general={"share": 0.5})
    assert first == {"support": 300, "general": 300}

    # The next run has other shares; one below another prefix finds nothing there and begins afresh.
    again, rows = runs.prepare(support={"share": 0.8}, general={"share": 0.2})
    afresh, expected = runs.prepare("elsewhere", support={"share": 0.8}, general={"share": 0.2})

    assert again == {"support": 0, "general": 0}
    assert afresh == {"support": 300, "general": 300}
    assert rows == expected
    assert len(runs.kept()) == 2


def test_a_source_that_is_added_is_tokenised_alone(runs: Runs, bucket: Bucket) -> None:
    runs.prepare(general={})

    # The new source repeats rows of the known one, and comes before it: the known one now has fewer rows.
    bucket.put("faq.jsonl", lines([*GENERAL[:20], *SUPPORT[:50]]))
    again, rows = runs.prepare(faq={}, general={})
    afresh, expected = runs.prepare("elsewhere", faq={}, general={})

    assert again == {"faq": 70, "general": 0}
    assert afresh == {"faq": 70, "general": 280}
    assert rows == expected


def test_a_source_that_changed_is_tokenised_anew_and_the_others_are_not(runs: Runs, bucket: Bucket) -> None:
    runs.prepare(support={}, general={})

    bucket.put("support.jsonl", lines([*SUPPORT, chat("New?", "New.")]))
    again, rows = runs.prepare(support={}, general={})
    _, expected = runs.prepare("elsewhere", support={}, general={})

    assert again == {"support": 301, "general": 0}
    assert rows == expected


def test_a_file_that_is_damaged_is_not_believed(runs: Runs, bucket: Bucket) -> None:
    _, expected = runs.prepare(support={"repeats": 2}, general={})
    damaged = runs.kept()
    for key in damaged:
        bucket.put(key, runs.content(key)[:-100] + bytes(100))

    again, rows = runs.prepare(support={"repeats": 3}, general={})

    # All rows are tokenised, and what was damaged is written again.
    assert again == {"support": 300, "general": 300}
    assert rows == expected
    assert runs.prepare(support={"repeats": 4}, general={})[0] == {"support": 0, "general": 0}


def test_a_file_with_other_tokens_than_the_model_has_is_not_believed(
    runs: Runs, bucket: Bucket, tmp_path: Path
) -> None:
    _, expected = runs.prepare(general={"repeats": 2})
    (key,) = runs.kept()
    table = pq.read_table(pa.BufferReader(runs.content(key)))
    column = table.schema.get_field_index("input_ids")
    offsets, values = table["input_ids"].combine_chunks().offsets, table["input_ids"].combine_chunks().values
    forged = pa.ListArray.from_arrays(offsets, pa.array(values.to_numpy() + 10_000_000))
    pq.write_table(table.set_column(column, table.schema.field("input_ids"), forged), tmp_path / "forged.parquet")
    name = f"20990101-{source_tokens.sha256_of(tmp_path / 'forged.parquet')}.parquet"
    bucket.put(f"{key.rpartition('/')[0]}/{name}", (tmp_path / "forged.parquet").read_bytes())

    again, rows = runs.prepare(general={"repeats": 3})

    assert again == {"general": 300}
    assert rows == expected


def test_another_tokenizer_under_the_same_stated_revision_tokenises_anew(runs: Runs, bucket: Bucket) -> None:
    runs.prepare(general={"repeats": 2})
    # Two letters change places; who replaced the file says nothing of it
    tokenizer = json.loads(runs.content("model/tokenizer.json"))
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["e"] = vocabulary["e"], vocabulary["a"]
    bucket.put("model/tokenizer.json", json.dumps(tokenizer).encode())

    again, rows = runs.prepare(general={"repeats": 3})
    _, expected = runs.prepare("elsewhere", general={"repeats": 3})

    assert again == {"general": 300}
    assert rows == expected


def test_the_oldest_files_go(runs: Runs, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_tokens, "MOST_FILES", 2)
    bucket.put(f"output/_work/tokens/{'a' * 64}/20200101-{'b' * 64}.parquet", b"old")
    bucket.put(f"output/_work/tokens/{'a' * 64}/20990101-{'b' * 64}.parquet", b"new")

    runs.prepare(general={})

    assert len(runs.kept()) == 2
    assert not any("20200101" in key for key in runs.kept())
