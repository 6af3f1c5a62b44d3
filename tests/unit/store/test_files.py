"""The store on this machine's files behaves like the one on S3."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import RunLayout
from lora_trainer.digests import is_plain_name
from lora_trainer.errors import TrainerError
from lora_trainer.ledger.claims import Fenced, take_claim
from lora_trainer.store import Store, about, from_environment
from lora_trainer.store.file import FileStore


@pytest.fixture
def store() -> Store:
    return from_environment(1)


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store"


def test_objects_come_back_as_they_were_put(store: Store, root: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"a file")
    store.write(f"{root}/b/small", b"small")
    store.upload(source, f"{root}/b/file")
    store.download(f"{root}/b/file", tmp_path / "deep" / "back")

    assert store.read(f"{root}/b/small") == b"small"
    assert (tmp_path / "deep" / "back").read_bytes() == b"a file"
    with store.open(f"{root}/b/file") as stream:
        assert stream.read() == b"a file"
    assert [(info.uri, info.size) for info in store.list(f"{root}/b/")] == [
        (f"{root}/b/file", 6),
        (f"{root}/b/small", 5),
    ]
    assert list(store.list(f"{root}/b/sm")) == []
    assert list(store.list(f"{root}/nothing")) == []


def test_one_of_many_writers_creates_an_object(store: Store, root: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.create(f"{root}/x", b"%d" % n), range(32)))

    assert won.count(True) == 1
    assert store.read(f"{root}/x") == b"%d" % won.index(True)
    assert len(list(store.list(root))) == 1


def test_replacing_needs_the_expected_object(store: Store, root: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"from a file")
    store.write(f"{root}/x", b"first")
    first = store.info(f"{root}/x")
    assert first is not None

    assert store.replace(f"{root}/x", b"second", first)
    assert not store.replace(f"{root}/x", b"third", first)
    assert not store.upload_if(source, f"{root}/x", None)
    assert store.read(f"{root}/x") == b"second"


def test_deleting_takes_the_prefix_and_nothing_beside_it(store: Store, root: str) -> None:
    for key in ("run/1", "run/deep/2", "run1/3"):
        store.write(f"{root}/{key}", b"x")

    store.delete(f"{root}/run")
    store.delete(f"{root}/never-was-there")

    assert [info.uri for info in store.list(root)] == [f"{root}/run1/3"]


def test_a_missing_file_is_named_and_blamed_on_the_field(store: Store, root: str) -> None:
    with pytest.raises(TrainerError) as raised, about("spec.dataset.uri"):
        store.read(f"{root}/no-such-file")

    assert raised.value.exit_code is ExitCode.INPUT_MISSING
    assert raised.value.param == "spec.dataset.uri"
    assert "no-such-file" in raised.value.message
    assert store.info(f"{root}/no-such-file") is None
    assert store.read_if_exists(f"{root}/no-such-file") is None


def test_about_keeps_a_field_that_is_named_already() -> None:
    with pytest.raises(TrainerError) as raised, about("spec.output.uri"), about("spec.model.source"):
        raise TrainerError(ExitCode.INPUT_MISSING, "gone")

    assert raised.value.param == "spec.model.source"


def test_claims_work_without_s3(store: Store, root: str) -> None:
    layout = RunLayout(root, "0" * 32)
    older, newer = take_claim(store, layout, "local"), take_claim(store, layout, "local")

    newer.renew()
    newer.check()
    with pytest.raises(Fenced):
        older.check()


class Careless(FileStore):
    """A store that ignores the condition of a PUT, as some S3 servers do."""

    def create(self, uri: str, content: bytes, *, content_type: str = "") -> bool:
        self.write(uri, content)
        return True


def test_a_server_that_ignores_conditions_is_refused(root: str) -> None:
    with pytest.raises(TrainerError, match="ignores If-None-Match") as raised:
        take_claim(Careless(), RunLayout(root, "0" * 32), "local")

    assert raised.value.exit_code is ExitCode.UNSUPPORTED


@pytest.mark.parametrize("name", ["../x", "/x", "a/../x", "a//x", "./x", "", "a\\x", "a\0"])
def test_names_that_leave_their_folder_are_not_plain(name: str) -> None:
    assert not is_plain_name(name)
    assert is_plain_name("best/adapter_model.safetensors")


@pytest.mark.parametrize("name", ["a\nb.jsonl", "a\u202eb.jsonl"])
def test_a_file_under_a_name_that_no_address_has_is_named(name: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / name).write_text("x")

    with pytest.raises(TrainerError, match="must not contain line breaks") as raised:
        list(store.list(f"file://{tmp_path}"))

    assert raised.value.exit_code is ExitCode.BAD_DATA
    assert raised.value.hint == "rename the file"
