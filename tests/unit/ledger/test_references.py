"""What the reference says of rows is kept in the store, and used only where it is what was written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lora_contract.layout import MANIFEST, RunLayout
from lora_trainer.digests import digest_of
from lora_trainer.ledger import references
from lora_trainer.ledger.references import LogProbabilities, StoredReference, UnfitReference
from lora_trainer.store import Store, from_environment

ROWS = 5


@pytest.fixture
def store() -> Store:
    return from_environment(1)


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return RunLayout(f"file://{tmp_path}/store", "run").reference("key")


@pytest.fixture
def stored(store: Store, prefix: str) -> StoredReference:
    return StoredReference(store, prefix, ROWS)


def values(seed: int = 0) -> LogProbabilities:
    return -np.random.default_rng(seed).exponential(size=(ROWS, 2)).astype(np.float32)


def written(folder: Path, content: LogProbabilities) -> Path:
    path = folder / "mine.safetensors"
    references.write(content, path)
    return path


def test_what_was_kept_is_found_by_another_run(stored: StoredReference, tmp_path: Path) -> None:
    # Nothing is there at first
    assert stored.find(tmp_path / "found") is None
    # One run keeps values, and another finds them, to the bit
    digest = stored.keep(written(tmp_path, values()))
    assert stored.find(tmp_path / "found") == digest
    assert np.array_equal(references.read(tmp_path / "found", ROWS), values())


def test_of_two_runs_that_computed_at_the_same_time_the_first_counts_for_both(
    stored: StoredReference, tmp_path: Path
) -> None:
    first = stored.keep(written(tmp_path, values(1)))
    assert stored.keep(written(tmp_path, values(2))) == first
    stored.find(tmp_path / "found")
    assert np.array_equal(references.read(tmp_path / "found", ROWS), values(1))


@pytest.mark.parametrize(
    "broken",
    [
        np.zeros((ROWS + 1, 2), dtype=np.float32),
        np.zeros((ROWS, 1), dtype=np.float32),
        np.zeros((ROWS, 2), dtype=np.float64),
        np.full((ROWS, 2), np.nan, dtype=np.float32),
        np.full((ROWS, 2), 50, dtype=np.float32),
    ],
    ids=["other rows", "one value a row", "another type", "not finite", "more likely than certain"],
)
def test_values_that_do_not_fit_are_computed_anew(
    broken: LogProbabilities, store: Store, prefix: str, stored: StoredReference, tmp_path: Path
) -> None:
    # Somebody left values with a valid manifest
    path = written(tmp_path, broken)
    digest = digest_of(path)
    manifest = {"version": 1, "file": digest.model_dump(by_alias=True)}
    store.upload(path, f"{prefix}/{digest.sha256}.safetensors")
    store.write(f"{prefix}/{MANIFEST}", json.dumps(manifest).encode())
    # They are not taken, and those that are computed in their place are
    assert stored.find(tmp_path / "found") is None
    kept = stored.keep(written(tmp_path, values()))
    assert stored.find(tmp_path / "found") == kept


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"x" * 10_000], ids=["empty", "a pickle", "large"])
def test_a_file_that_was_replaced_is_not_read(
    content: bytes, store: Store, prefix: str, stored: StoredReference, tmp_path: Path
) -> None:
    digest = stored.keep(written(tmp_path, values()))
    store.write(f"{prefix}/{digest}.safetensors", content)
    assert stored.find(tmp_path / "found") is None
    with pytest.raises(UnfitReference):
        stored.bring(digest, tmp_path / "found")


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F4"])
def test_types_that_numpy_does_not_know_do_not_fit(dtype: str, tmp_path: Path) -> None:
    path = written(tmp_path, values())
    size = {"BF16": 2 * 2 * ROWS, "F8_E4M3": 2 * ROWS, "F4": ROWS}[dtype]
    header = json.dumps({"log_probabilities": {"dtype": dtype, "shape": [ROWS, 2], "data_offsets": [0, size]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    with pytest.raises(UnfitReference):
        references.read(path, ROWS)


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"version": 2}', b'{"version":1,"file":{"sha256":"../x","size":1}}', b" " * 5000],
    ids=["cut off", "a list", "another version", "a way out", "large"],
)
def test_a_manifest_that_cannot_be_read_counts_as_none(
    content: bytes, store: Store, prefix: str, stored: StoredReference, tmp_path: Path
) -> None:
    store.write(f"{prefix}/{MANIFEST}", content)
    assert stored.find(tmp_path / "found") is None


def test_a_file_that_is_gone_is_computed_anew(
    store: Store, prefix: str, stored: StoredReference, tmp_path: Path
) -> None:
    digest = stored.keep(written(tmp_path, values()))
    store.delete(f"{prefix}/{digest}.safetensors")
    assert stored.find(tmp_path / "found") is None
    assert stored.keep(written(tmp_path, values(3))) != digest
