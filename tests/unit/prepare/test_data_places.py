"""Data on a volume of the namespace: read where they lie, and nothing beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.prepare import dataset_files
from lora_trainer.prepare.dataset_files import FetchedDataset
from lora_trainer.store import from_environment
from support.prepare_orders import order
from support.prepared_data import lines

ROWS = lines([{"prompt": "Add 1 and 1.", "completion": "2."}])


def claim(folder: Path, *names: str) -> Path:
    """The mounted claim `data` with files of these names."""
    mount = folder / "claims" / "data"
    for name in names:
        (mount / name).parent.mkdir(parents=True, exist_ok=True)
        (mount / name).write_bytes(ROWS)
    return mount


def fetch(folder: Path, address: str) -> FetchedDataset:
    run = order(folder, {"model.source": f"file://{folder}/model", "dataset.uri": address})
    into = folder / "into"
    into.mkdir()
    return dataset_files.fetch(run, from_environment(1), into, claims=folder / "claims")


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("pvc://data/a/rows.jsonl", ["rows.jsonl"]),
        ("pvc://data/a", ["part/1.jsonl", "rows.jsonl"]),
        ("pvc://data/a/", ["part/1.jsonl", "rows.jsonl"]),
        ("pvc://data", ["a/part/1.jsonl", "a/rows.jsonl", "b.jsonl"]),
    ],
)
def test_a_file_or_folder_of_a_volume_is_read(address: str, names: list[str], tmp_path: Path) -> None:
    claim(tmp_path, "a/rows.jsonl", "a/part/1.jsonl", "b.jsonl")

    fetched = fetch(tmp_path, address)

    assert [file.name for file in fetched.files] == names
    assert [file.path.read_bytes() for file in fetched.dataset.main] == [ROWS] * len(names)


def test_the_same_rows_on_a_volume_and_at_another_address_are_the_same_data(tmp_path: Path) -> None:
    claim(tmp_path, "rows.jsonl")
    (tmp_path / "copy.jsonl").write_bytes(ROWS)
    on_volume = fetch(tmp_path, "pvc://data/rows.jsonl").digest
    (tmp_path / "into").rename(tmp_path / "before")

    assert fetch(tmp_path, f"file://{tmp_path}/copy.jsonl").digest == on_volume


@pytest.mark.parametrize("address", ["pvc://data/nothing.jsonl", "pvc://data/empty/"])
def test_nothing_at_an_address_of_a_volume_is_told_by_its_field(address: str, tmp_path: Path) -> None:
    (claim(tmp_path, "rows.jsonl") / "empty").mkdir()

    with pytest.raises(TrainerError, match="there is nothing at pvc://data/") as raised:
        fetch(tmp_path, address)

    assert raised.value.exit_code is ExitCode.INPUT_MISSING
    assert raised.value.param == "spec.dataset.uri"


@pytest.mark.parametrize("address", ["pvc://data/link.jsonl", "pvc://data", "pvc://data/folder/secret.jsonl"])
def test_a_link_out_of_the_volume_is_not_followed(address: str, tmp_path: Path) -> None:
    # given links to a file and to a folder that the pod has elsewhere
    mount = claim(tmp_path, "rows.jsonl")
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod" / "secret.jsonl").write_bytes(ROWS)
    (mount / "link.jsonl").symlink_to(tmp_path / "pod" / "secret.jsonl")
    (mount / "folder").symlink_to(tmp_path / "pod")
    # then neither is read
    with pytest.raises(TrainerError, match="a link that leads out of the volume") as raised:
        fetch(tmp_path, address)
    assert raised.value.exit_code is ExitCode.BAD_DATA


def test_a_link_within_the_volume_is_read(tmp_path: Path) -> None:
    mount = claim(tmp_path, "rows.jsonl")
    (mount / "newest.jsonl").symlink_to("rows.jsonl")

    assert len(fetch(tmp_path, "pvc://data/newest.jsonl").files) == 1


def test_without_a_cluster_an_address_of_a_volume_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="is on a volume of a cluster") as raised:
        fetch(tmp_path, "pvc://data/rows.jsonl")

    assert "file:///" in str(raised.value.hint)
    assert raised.value.param == "spec.dataset.uri"
