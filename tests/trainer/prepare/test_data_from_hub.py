"""Datasets on the Hub, over HTTP with its real client: pinned, whole or one split, and refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.prepare import dataset_files
from lora_trainer.prepare.dataset_files import FetchedDataset
from lora_trainer.store import from_environment
from support.hub_server import COMMIT, Hub, hub_server
from support.prepare_orders import order

NAME = "team/chats"
ADDRESS = f"hf://datasets/{NAME}@{COMMIT}"
FILES = (
    "data/train-00000-of-00002.parquet",
    "data/train-00001-of-00002.parquet",
    "data/test-00000-of-00001.parquet",
    "data/train_gen-00000-of-00001.parquet",
)


def write(folder: Path, name: str, *, rows: int = 3) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = [{"prompt": f"Say {name} {n}.", "completion": f"{n}."} for n in range(rows)]
    pq.write_table(pa.Table.from_pylist(content), path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in FILES:
        write(tmp_path / "hub" / NAME, name)
    (tmp_path / "hub" / NAME / "README.md").write_text("---\nlicense: mit\n---\n")
    with hub_server(tmp_path / "hub") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        yield server


def fetch(folder: Path, address: str = ADDRESS, **changes: Any) -> FetchedDataset:
    into = folder / "into"
    into.mkdir()
    spec = {"model.source": f"file://{folder}/model", "dataset.uri": address}
    return dataset_files.fetch(order(folder, spec | changes), from_environment(2), into)


def refusal(folder: Path, address: str = ADDRESS) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        fetch(folder, address)
    return raised.value


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/train", ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]),
        ("/data/train", ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]),
        ("/train_gen", ["train_gen-00000-of-00001.parquet"]),
        ("/data/test-00000-of-00001.parquet", ["test-00000-of-00001.parquet"]),
    ],
)
def test_a_split_or_a_file_is_read_whole_and_nothing_else(
    path: str, names: list[str], hub: Hub, tmp_path: Path
) -> None:
    fetched = fetch(tmp_path, ADDRESS + path)

    assert [(file.name, file.split) for file in fetched.files] == [(name, "dataset") for name in names]
    read = [file.path.read_bytes() for file in fetched.dataset.main]
    assert read == [(tmp_path / "hub" / NAME / "data" / name).read_bytes() for name in names]
    assert set(hub.requests) == {f"data/{name}" for name in names}


def test_all_of_a_dataset_is_split_by_the_names_of_its_files(hub: Hub, tmp_path: Path) -> None:
    fetched = fetch(tmp_path)

    assert {file.name: file.split for file in fetched.files} == {
        name: "test" if "/test" in name else "dataset" for name in FILES
    }
    assert not hub.requests["README.md"]


def test_a_file_whose_name_hides_what_it_is_is_refused(hub: Hub, tmp_path: Path) -> None:
    write(tmp_path / "hub" / NAME, "data/train\u202e.parquet")

    error = refusal(tmp_path)

    assert "has a file whose address" in error.message
    assert error.exit_code is ExitCode.BAD_DATA


def test_a_split_of_several_configurations_asks_for_one(hub: Hub, tmp_path: Path) -> None:
    write(tmp_path / "hub" / NAME, "de/train.parquet")
    write(tmp_path / "hub" / NAME, "en/train.parquet")
    (tmp_path / "hub" / NAME / "data").rename(tmp_path / "elsewhere")

    error = refusal(tmp_path, f"{ADDRESS}/train")

    assert "has files of train in several places: de/train, en/train" in error.message
    assert error.hint == f"name one of them in the address: {ADDRESS}/de/train"


def test_a_split_that_is_a_folder_is_found_by_its_name(hub: Hub, tmp_path: Path) -> None:
    # as in the Parquet copies that the Hub makes of datasets
    write(tmp_path / "hub" / NAME, "default/dev/0000.parquet")

    assert [file.name for file in fetch(tmp_path, f"{ADDRESS}/dev").files] == ["0000.parquet"]


def test_a_split_that_is_not_there_names_the_field(hub: Hub, tmp_path: Path) -> None:
    error = refusal(tmp_path, f"{ADDRESS}/dev")

    assert error.message == f"there is nothing at {ADDRESS}/dev"
    assert error.exit_code is ExitCode.INPUT_MISSING
    assert error.param == "spec.dataset.uri"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (f"hf://datasets/team/nothing@{COMMIT}", "the Hub has no dataset team/nothing"),
        (f"hf://datasets/{NAME}@{'0' * 40}", f"{NAME} has no revision {'0' * 40}"),
    ],
)
def test_a_dataset_or_commit_that_is_not_there_names_the_field(
    address: str, words: str, hub: Hub, tmp_path: Path
) -> None:
    error = refusal(tmp_path, address)

    assert words in error.message
    assert error.exit_code is ExitCode.INPUT_MISSING
    assert error.param == "spec.dataset.uri"


def test_a_gated_dataset_asks_for_a_token_and_is_read_with_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated[NAME] = "hf_secret"

    error = refusal(tmp_path)
    assert error.exit_code is ExitCode.ACCESS_DENIED
    assert error.param == "spec.model.tokenSecretName"

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    (tmp_path / "into").rmdir()
    assert len(fetch(tmp_path).files) == len(FILES)


def test_a_hub_that_fails_for_a_while_is_asked_again(hub: Hub, tmp_path: Path) -> None:
    hub.failures = 2

    assert len(fetch(tmp_path).files) == len(FILES)


def test_a_hub_that_stays_away_ends_with_the_way_out(hub: Hub, tmp_path: Path) -> None:
    hub.failures = 10_000

    error = refusal(tmp_path)

    assert error.exit_code is ExitCode.UNAVAILABLE
    assert "copy the dataset to S3" in str(error.hint)


def test_a_file_that_arrives_damaged_is_not_accepted(hub: Hub, tmp_path: Path) -> None:
    hub.damaged.add(FILES[0])

    error = refusal(tmp_path)

    assert error.exit_code is ExitCode.UNAVAILABLE
    assert f"{FILES[0]} of {NAME} arrived damaged" in error.message
