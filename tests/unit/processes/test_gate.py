"""Who gets through to the store of a group, and what strangers get."""

from __future__ import annotations

import errno
import secrets
import socket
from datetime import timedelta

import pytest
import torch.distributed as dist

from lora_trainer.errors import TrainerError
from lora_trainer.processes import gate
from lora_trainer.processes.gate import Gate, GroupKey, Passage, Stranger
from lora_trainer.processes.group import decoded, encoded
from lora_trainer.processes.meeting import _guarded_store, refuse_pickles


class Shelf:
    """Keys in memory, as S3 keeps them for a run."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}

    def save(self, key: GroupKey) -> None:
        self.keys[key.id] = key.secret

    def secret_of(self, key_id: str) -> bytes | None:
        return self.keys.get(key_id)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def guarded(shelf: Shelf) -> tuple[dist.Store, int]:
    """The store of a first process and the port of its gate."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return _guarded_store(port, shelf), port


def store_behind(passage: Passage) -> dist.Store:
    return dist.TCPStore("127.0.0.1", passage.port, is_master=False, timeout=timedelta(seconds=5))


def test_who_holds_the_key_uses_the_store(guarded: tuple[dist.Store, int], shelf: Shelf) -> None:
    first, port = guarded
    other = store_behind(Passage("127.0.0.1", port, shelf))
    first.set("word", b"from the first")
    assert other.get("word") == b"from the first"
    other.set("large", b"x" * 1_000_000)
    assert len(first.get("large")) == 1_000_000
    # torch opens more connections of the same kind by itself
    assert other.clone().get("word") == b"from the first"


def test_a_client_of_torch_without_the_key_neither_reads_nor_writes(guarded: tuple[dist.Store, int]) -> None:
    first, port = guarded
    first.set("word", b"true")
    with pytest.raises(dist.DistError):
        dist.TCPStore("127.0.0.1", port, is_master=False, timeout=timedelta(seconds=2)).set("word", b"forged")
    assert first.get("word") == b"true"


def test_a_caller_with_another_key_is_refused(guarded: tuple[dist.Store, int], shelf: Shelf) -> None:
    _, port = guarded
    wrong = Shelf()
    wrong.keys = dict.fromkeys(shelf.keys, secrets.token_bytes(32))
    with pytest.raises(Stranger):
        Passage("127.0.0.1", port, wrong)


def test_a_gate_that_does_not_hold_the_key_of_the_run_is_left_alone(
    guarded: tuple[dist.Store, int], shelf: Shelf
) -> None:
    first, _ = guarded
    (key_id,) = shelf.keys
    # somebody who read the public id stands where the first pod should be
    impostor = Gate(GroupKey(key_id), port=0, behind=first.port)
    with pytest.raises(Stranger):
        Passage("127.0.0.1", impostor.port, shelf)
    unknown = Gate(GroupKey(), port=0, behind=first.port)
    with pytest.raises(Stranger, match="names a key that the run does not have"):
        Passage("127.0.0.1", unknown.port, shelf)


@pytest.mark.parametrize(
    "garbage", [b"", b"\x80\x04" + b"cposix\nsystem\n(S'id'\ntR." * 20, secrets.token_bytes(1 << 20)]
)
def test_garbage_is_refused_and_the_store_serves_on(
    garbage: bytes, guarded: tuple[dist.Store, int], shelf: Shelf
) -> None:
    first, port = guarded
    greeting = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
            stranger.sendall(garbage)
            stranger.shutdown(socket.SHUT_WR)
            greeting = stranger.recv(1 << 16)
    except OSError as error:
        if error.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
            raise  # anything but a gate that hung up while much of the garbage was unread
    assert len(greeting) <= 56
    assert store_behind(Passage("127.0.0.1", port, shelf)).add("still here", 1) == 1
    assert first.add("still here", 1) == 2


def test_who_proves_nothing_is_cut_off_and_does_not_keep_others_out(
    guarded: tuple[dist.Store, int], shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_PROOF_SECONDS", 0.5)
    monkeypatch.setattr(gate, "_MAX_UNPROVED_OF_ADDRESS", 4)
    _, port = guarded
    silent = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(8)]
    for connection in silent:
        with connection:
            while connection.recv(1 << 10):
                pass  # returns when the gate closed it
    assert store_behind(Passage("127.0.0.1", port, shelf)).add("in", 1) == 1


def test_a_key_shows_nothing_of_its_secret() -> None:
    key = GroupKey()
    assert key.secret.hex() not in repr(key)
    assert repr(key.secret) not in repr(key)


@pytest.mark.parametrize("content", [b"\x80\x04N.", b"", b"[1, 2]", b'"text"' * 2, b'"' + b"x" * (1 << 20) + b'"'])
def test_a_word_that_is_none_of_theirs_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(TrainerError, match="'checkpoint' is not one of theirs"):
        decoded("checkpoint", str | None, content)


def test_words_come_back_as_they_were_said() -> None:
    for kind, value in ((str | None, None), (list[str], ["/scratch", "abc"]), (bool, False)):
        assert decoded("word", kind, encoded(value).encode()) == value
    with pytest.raises(ValueError, match="too long"):
        encoded("x" * (1 << 20))


def test_objects_are_not_sent_between_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_object_to_tensor", "_tensor_to_object"):
        monkeypatch.setattr(dist.distributed_c10d, name, getattr(dist.distributed_c10d, name))
    refuse_pickles()
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        for collective in (
            lambda: dist.all_gather_object([None], {}),  # noqa: TID251 - to see it refused
            lambda: dist.broadcast_object_list([{}], 0),  # noqa: TID251
        ):
            with pytest.raises(RuntimeError, match="never objects"):
                collective()
    finally:
        dist.destroy_process_group()
