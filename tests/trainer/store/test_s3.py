"""The store on a real S3 server: contents, conditions, words for what goes wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.digests import sha256_of
from lora_trainer.errors import TrainerError
from lora_trainer.store import about, from_environment
from support.s3_rig import Rig
from support.seaweedfs import ADMIN, STRANGER


def refusal(action: Callable[[], object]) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        action()
    return raised.value


def test_objects_come_back_as_they_were_put(rig: Rig, big_file: Path, tmp_path: Path) -> None:
    rig.store.write(rig.uri("a/small"), b"small")
    rig.store.upload(big_file, rig.uri("a/big"), sha256=sha256_of(big_file))
    rig.store.download(rig.uri("a/big"), tmp_path / "back" / "big")

    assert rig.store.read(rig.uri("a/small")) == b"small"
    assert sha256_of(tmp_path / "back" / "big") == sha256_of(big_file)
    with rig.store.open(rig.uri("a/big")) as stream:
        assert stream.read() == big_file.read_bytes()
    assert [info.uri for info in rig.store.list(rig.uri("a/"))] == [rig.uri("a/big"), rig.uri("a/small")]
    assert list(rig.store.list(rig.uri("a/sm"))) == []


def test_keys_with_odd_characters_are_listed_and_read(rig: Rig) -> None:
    key = "rows/täglich neu #1 %20+&?.jsonl"
    rig.store.write(rig.uri(key), b"{}")

    [info] = rig.store.list(rig.uri("rows"))

    assert info.uri == rig.uri(key)
    assert rig.store.read(info.uri) == b"{}"


def test_one_of_many_writers_creates_an_object(rig: Rig) -> None:
    store = rig.store
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda n: store.create(rig.uri("claim"), f"writer {n}".encode()), range(16)))

    assert won.count(True) == 1
    assert store.read(rig.uri("claim")) == f"writer {won.index(True)}".encode()


def test_replacing_and_conditional_upload_need_the_expected_object(rig: Rig, big_file: Path) -> None:
    store, uri = rig.store, rig.uri("x")
    assert store.upload_if(big_file, uri, None)
    first = store.info(uri)
    assert first is not None

    assert not store.upload_if(big_file, uri, None)
    assert store.replace(uri, b"second", first)
    assert not store.replace(uri, b"third", first)
    assert not store.upload_if(big_file, uri, first)
    assert store.read(uri) == b"second"
    assert rig.unfinished_uploads() == []


def test_deleting_takes_the_prefix_and_nothing_beside_it(rig: Rig) -> None:
    for key in ("run/1", "run/deep/2", "run1/3"):
        rig.store.write(rig.uri(key), b"x")

    rig.store.delete(rig.uri("run"))
    rig.store.delete(rig.uri("never-was-there"))

    assert [info.uri for info in rig.store.list(rig.uri("").rstrip("/"))] == [rig.uri("run1/3")]


def test_missing_things_are_named_and_blamed_on_the_field(rig: Rig) -> None:
    def read(uri: str) -> None:
        with about("spec.dataset.uri"):
            rig.store.read(uri)

    object_missing = refusal(lambda: read(rig.uri("no-such-object")))
    bucket_missing = refusal(lambda: read("s3://no-such-bucket/x"))

    for error in (object_missing, bucket_missing):
        assert error.exit_code is ExitCode.INPUT_MISSING
        assert error.param == "spec.dataset.uri"
    assert "no-such-object" in object_missing.message
    assert "no bucket 'no-such-bucket'" in bucket_missing.message
    assert rig.store.info(rig.uri("no-such-object")) is None
    assert rig.store.read_if_exists(rig.uri("no-such-object")) is None
    assert refusal(lambda: list(rig.store.list("s3://no-such-bucket/x"))).exit_code is ExitCode.INPUT_MISSING


@pytest.mark.parametrize("case", ["no right", "unknown key", "wrong secret", "no credentials"])
def test_denied_access_names_the_secret_and_never_a_key(
    case: str, rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = rig.server.environment(STRANGER if case == "no right" else ADMIN)
    if case == "unknown key":
        environment["AWS_ACCESS_KEY_ID"] = "AKIDUNKNOWNUNKNOWN01"
    if case == "wrong secret":
        environment["AWS_SECRET_ACCESS_KEY"] = "wrong-secret-of-somebody"
    if case == "no credentials":
        del environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {**environment, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)

    error = refusal(lambda: from_environment(20).write(rig.uri("x"), b"x"))

    assert error.exit_code is ExitCode.ACCESS_DENIED
    assert "spec.storage.secretName" in (error.hint or "")
    said = f"{error.message} {error.hint}"
    assert not any(value in said for value in environment.values() if "secret" in value or "AKID" in value)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"])
def test_a_line_end_in_the_secret_is_told_at_once(name: str, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = rig.server.environment()
    environment[name] += "\n"
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    error = refusal(lambda: from_environment(600).write(rig.uri("x"), b"x"))

    assert error.exit_code is ExitCode.ACCESS_DENIED
    assert f"{name} ends in a line end" in error.message
