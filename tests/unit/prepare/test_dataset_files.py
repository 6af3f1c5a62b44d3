"""From addresses to files: which of a folder's files are read as what, and what changes meanwhile."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.prepare import dataset_files
from lora_trainer.prepare.dataset_files import FetchedDataset
from lora_trainer.store import Store, from_environment
from lora_trainer.store.failures import ObjectReplacedError
from lora_trainer.store.file import FileStore
from support.prepare_orders import order, place
from support.prepared_data import lines


def _pairs(*numbers: int) -> list[dict[str, str]]:
    return [{"prompt": f"Add {n} and 1.", "completion": f"{n + 1}."} for n in numbers]


def _write(folder: Path, *names: str) -> None:
    """Files with rows of their own, as their names say."""
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = _pairs(*range(index * 100, index * 100 + 10))
        if name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif name.endswith(".jsonl"):
            path.write_bytes(lines(rows))
        else:
            path.write_text("---\nlicense: mit\n---\n")


def _fetch(folder: Path, store: Store | None = None, **changes: str) -> FetchedDataset:
    base = {"model.source": f"file://{folder}/model", "dataset.uri": f"file://{folder}/data/"}
    uris = base | {k.replace("__", "."): v for k, v in changes.items()}
    into = folder / "into"
    into.mkdir()
    return dataset_files.fetch(order(folder, uris), store or from_environment(1), into)


def _splits(fetched: FetchedDataset) -> dict[str, str]:
    return {file.name: file.split for file in fetched.files}


def test_the_folder_of_a_hub_dataset_is_split_by_the_names_of_its_files(tmp_path: Path) -> None:
    # A download of a dataset repository
    _write(
        tmp_path / "data",
        "README.md",
        ".gitattributes",
        "data/train-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
        "data/test-00000-of-00001.parquet",
    )
    # It is fetched
    fetched = _fetch(tmp_path)
    # Held-out files are not trained on, and all that was decided by names is told
    assert _splits(fetched) == {
        "data/train-00000-of-00001.parquet": "dataset",
        "data/validation-00000-of-00001.parquet": "validation",
        "data/test-00000-of-00001.parquet": "test",
    }
    uri = f"file://{tmp_path}/data/"
    assert fetched.notes[:2] == (
        f"files below {uri} were taken for the validation split by their names: data/validation-00000-of-00001.parquet",
        f"files below {uri} were taken for the test split by their names: data/test-00000-of-00001.parquet",
    )
    assert fetched.notes[2].startswith(f"files below {uri} were not read, as by their names they are not for training")
    assert fetched.notes[2].endswith(": README.md")


def test_a_folder_without_a_data_file_is_told_with_what_it_has(tmp_path: Path) -> None:
    _write(tmp_path / "data", "README.md", "dataset_info.json")

    with pytest.raises(TrainerError, match=r"there is no data file below .*, only README\.md, dataset_info\.json"):
        _fetch(tmp_path)


def test_rows_under_a_hidden_name_are_not_read_and_told(tmp_path: Path) -> None:
    _write(tmp_path / "data", "a.jsonl", "_b.jsonl", "_SUCCESS", "._part.crc")

    fetched = _fetch(tmp_path)

    assert _splits(fetched) == {"a.jsonl": "dataset"}
    assert len(fetched.notes) == 1
    assert fetched.notes[0].endswith(": _b.jsonl")


def test_copies_in_hidden_folders_and_what_windows_writes_are_not_read_and_told(tmp_path: Path) -> None:
    _write(tmp_path / "data", "a.jsonl", ".ipynb_checkpoints/a-checkpoint.jsonl", "__MACOSX/a.jsonl", "Thumbs.db")

    fetched = _fetch(tmp_path)

    assert _splits(fetched) == {"a.jsonl": "dataset"}
    assert fetched.notes[0].endswith(": .ipynb_checkpoints/a-checkpoint.jsonl, Thumbs.db, __MACOSX/a.jsonl")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.jsonl", "dataset"),
        ("train_sft-00000-of-00002.parquet", "dataset"),
        ("test_sft-00000-of-00001.parquet", "test"),
        ("en/dev.jsonl", "validation"),
        ("test/part-0.jsonl", "test"),
        ("test/train-0.jsonl", "dataset"),
        ("eval_2024.jsonl", "test"),
        ("contest.jsonl", "dataset"),
        ("latest.jsonl", "dataset"),
        ("devices.jsonl", "dataset"),
        ("Validation.jsonl", "validation"),
    ],
)
def test_a_split_is_read_from_words_of_a_name(name: str, split: str, tmp_path: Path) -> None:
    _write(tmp_path / "data", "a.jsonl", name)

    assert _splits(_fetch(tmp_path))[name] == split


def test_a_folder_of_held_out_files_alone_is_trained_on(tmp_path: Path) -> None:
    _write(tmp_path / "data", "test-0.jsonl", "test-1.jsonl")

    fetched = _fetch(tmp_path)

    assert _splits(fetched) == {"test-0.jsonl": "dataset", "test-1.jsonl": "dataset"}
    assert fetched.notes == ()


def test_a_file_that_is_named_itself_is_what_its_field_says(tmp_path: Path) -> None:
    _write(tmp_path / "data", "test.jsonl", "train.jsonl")

    fetched = _fetch(tmp_path, dataset__uri=f"file://{tmp_path}/data/test.jsonl")

    assert _splits(fetched) == {"test.jsonl": "dataset"}


def test_files_of_a_split_with_an_address_of_its_own_are_left_out_and_told(tmp_path: Path) -> None:
    _write(tmp_path / "data", "train.jsonl", "test.jsonl")
    _write(tmp_path, "own.jsonl")

    fetched = _fetch(tmp_path, dataset__testUri=f"file://{tmp_path}/own.jsonl")

    assert _splits(fetched) == {"train.jsonl": "dataset", "own.jsonl": "test"}
    assert len(fetched.notes) == 1
    assert "were not read: they are the test split by their names" in fetched.notes[0]
    assert "test.jsonl" in fetched.notes[0]


def test_a_folder_of_save_to_disk_is_named_as_what_it_is(tmp_path: Path) -> None:
    _write(tmp_path / "data", "dataset_info.json", "state.json", "data-00000-of-00001.arrow")

    with pytest.raises(TrainerError, match=r"Dataset\.save_to_disk") as raised:
        _fetch(tmp_path)

    assert raised.value.exit_code is ExitCode.BAD_DATA
    assert raised.value.param == "spec.dataset.uri"
    assert "to_parquet" in str(raised.value.hint)


def test_rows_of_a_test_file_are_tested_on_and_never_trained_on(tmp_path: Path) -> None:
    # A folder of two splits by name
    _write(tmp_path / "data", "train.jsonl", "test.jsonl")
    run = place(tmp_path, dataset__uri=f"file://{tmp_path}/data/", dataset__split={"validation": 0, "test": 0.5})
    # It is prepared
    report = run.prepare()
    # Its own rows are the test split, whatever share would have been held out, and the status says so
    assert report.plan is not None
    assert (report.plan.rows, report.plan.test_rows) == (10, 10)
    assert report.warnings[0].endswith("were taken for the test split by their names: test.jsonl")
    assert run.prepare().warnings == report.warnings


def test_a_file_without_rows_among_others_is_told(tmp_path: Path) -> None:
    _write(tmp_path / "data", "a.jsonl")
    (tmp_path / "data" / "b.jsonl").write_bytes(b"")
    split = {"validation": 0, "test": 0}

    report = place(tmp_path, dataset__uri=f"file://{tmp_path}/data/", dataset__split=split).prepare()

    assert report.warnings == ["files without a row: b.jsonl"]


class _Rewritten(FileStore):
    """A store in which a file is written anew after it was read, and its download may notice."""

    def __init__(self, path: Path, *, noticed: bool = False) -> None:
        self._path = path
        self._noticed = noticed

    def download(self, uri: str, path: Path) -> None:
        """As `FileStore`, and then the file changes."""
        super().download(uri, path)
        self._path.write_bytes(self._path.read_bytes() + lines(_pairs(7)))
        if self._noticed:
            raise ObjectReplacedError(uri)


@pytest.mark.parametrize("noticed", [False, True])
@pytest.mark.parametrize("bad_rows", ["Fail", "Skip"])
def test_a_file_that_changes_while_the_dataset_is_read_ends_the_run(
    bad_rows: str, noticed: bool, tmp_path: Path
) -> None:
    _write(tmp_path / "data", "a.jsonl", "b.jsonl")
    store = _Rewritten(tmp_path / "data" / "a.jsonl", noticed=noticed)

    with pytest.raises(TrainerError, match=r"^a\.jsonl changed while it was read") as raised:
        _fetch(tmp_path, store, dataset__onBadRows=bad_rows)

    assert raised.value.exit_code is ExitCode.BAD_DATA
    assert raised.value.param == "spec.dataset.uri"
    assert "runToken" in str(raised.value.hint)
