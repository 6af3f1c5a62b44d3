"""The store on an S3 server that cuts, delays, damages and refuses: what is outlived, and the words where it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.digests import sha256_of
from lora_trainer.errors import TrainerError
from lora_trainer.store.failures import ObjectReplacedError
from lora_trainer.store.s3 import S3Store
from support.fault_proxy import Action, Plan, Seen
from support.s3_rig import PART, Rig

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


CREATION_PARTS_AND_COMPLETION = 5


def reads_object(seen: Seen) -> bool:
    return seen.method == "GET" and "list-type" not in seen.query


def refusal(action: Callable[[], object]) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        action()
    return raised.value


@pytest.mark.parametrize(
    "action", [Action.CUT_BEFORE, Action.CUT_AFTER, Action.SLOW_DOWN, Action.INTERNAL_ERROR], ids=lambda a: a.name
)
def test_a_conditional_put_is_won_by_its_writer_even_when_the_answer_is_lost(action: Action, rig: Rig) -> None:
    rig.proxy.plan = Plan(action, count=2)

    assert rig.behind_proxy().create(rig.uri("x"), b"mine")
    assert not rig.behind_proxy().create(rig.uri("x"), b"other")
    assert rig.proxy.plan.applied == 2


@pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.TRUNCATE, Action.SLOW_DOWN], ids=lambda a: a.name)
def test_reading_survives_faults(action: Action, rig: Rig, big_file: Path, tmp_path: Path) -> None:
    rig.store.upload(big_file, rig.uri("big"))

    rig.proxy.plan = Plan(action, count=2, chosen=reads_object)
    with rig.behind_proxy().open(rig.uri("big")) as stream:
        assert stream.read() == big_file.read_bytes()
    assert rig.proxy.plan.applied == 2

    rig.proxy.plan = Plan(action, count=2, chosen=reads_object)
    rig.behind_proxy().download(rig.uri("big"), tmp_path / "big")
    assert sha256_of(tmp_path / "big") == sha256_of(big_file)


def test_an_object_replaced_while_it_is_read_is_noticed(rig: Rig, big_file: Path) -> None:
    rig.store.upload(big_file, rig.uri("big"))
    rig.proxy.plan = Plan(Action.TRUNCATE, chosen=reads_object)

    with rig.behind_proxy().open(rig.uri("big")) as stream:
        stream.read(10)
        rig.store.write(rig.uri("big"), b"something else")
        error = refusal(stream.read)

    assert "replaced while it was read" in error.message


def test_an_object_replaced_while_it_is_downloaded_is_noticed(rig: Rig, big_file: Path, tmp_path: Path) -> None:
    # An object of several parts that another writer replaces once its first request was answered
    rig.store.upload(big_file, rig.uri("big"))
    client = rig.server.client()
    replacing = rig.store
    client.meta.events.register(
        "after-call.s3.HeadObject", lambda **_: replacing.write(rig.uri("big"), bytes(big_file.stat().st_size))
    )
    store = S3Store(20, make_client=lambda: client, part_bytes=PART)
    # When it is downloaded, that ends in words, and no file is left that is made of both
    error = refusal(lambda: store.download(rig.uri("big"), tmp_path / "back"))
    assert isinstance(error, ObjectReplacedError)
    assert "replaced while it was read" in error.message
    assert not (tmp_path / "back").exists()


def test_bytes_damaged_on_the_way_are_not_accepted(rig: Rig) -> None:
    rig.store.write(rig.uri("x"), b"what was stored")
    rig.proxy.plan = Plan(Action.FLIP, chosen=reads_object)

    assert rig.behind_proxy().read(rig.uri("x")) == b"what was stored"


@pytest.mark.parametrize("action", [Action.CUT_BEFORE, Action.CUT_AFTER], ids=lambda a: a.name)
def test_a_large_upload_survives_a_fault_at_each_of_its_requests(action: Action, rig: Rig, big_file: Path) -> None:
    digest, first = sha256_of(big_file), 0
    while True:
        first += 1
        uri = rig.uri(f"big-{first}")
        rig.proxy.plan = Plan(action, first=first)
        assert rig.behind_proxy().upload_if(big_file, uri, None, sha256=digest)
        info = rig.store.info(uri)
        assert info is not None
        assert info.size == big_file.stat().st_size
        if rig.proxy.plan.applied == 0:
            break

    assert first > CREATION_PARTS_AND_COMPLETION
    rig.store.abort_uploads(rig.uri("big-1"))  # where the answer to the creation was lost, its number was too
    assert rig.unfinished_uploads() == []


def test_a_failed_upload_leaves_no_parts_behind(rig: Rig, big_file: Path) -> None:
    rig.proxy.plan = Plan(Action.SLOW_DOWN, count=None, chosen=lambda seen: "partNumber=3" in seen.query)

    error = refusal(lambda: rig.behind_proxy(budget_seconds=0).upload(big_file, rig.uri("big")))

    assert error.exit_code is ExitCode.UNAVAILABLE
    assert rig.unfinished_uploads() == []


def test_a_store_that_stays_away_ends_as_unavailable_after_the_budget(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.proxy.plan = Plan(Action.SLOW_DOWN, count=None)

    error = refusal(lambda: rig.behind_proxy(budget_seconds=1).write(rig.uri("x"), b"x"))

    assert error.exit_code is ExitCode.UNAVAILABLE
    assert "SlowDown" in error.message
    assert "trying again" in caplog.text


def test_expired_credentials_are_read_again(rig: Rig) -> None:
    made: list[S3Client] = []

    def make_client() -> S3Client:
        made.append(rig.proxied_client)
        return rig.proxied_client

    rig.proxy.plan = Plan(Action.EXPIRED_TOKEN)
    S3Store(20, make_client=make_client).write(rig.uri("x"), b"x")

    assert len(made) == 2


REFUSALS = [Action.UNKNOWN_KEY, Action.ACCESS_DENIED, Action.CLOCK_SKEWED, Action.EXPIRED_TOKEN]


@pytest.mark.parametrize("action", REFUSALS, ids=lambda a: a.name)
def test_a_refusal_in_mid_run_is_outlived(action: Action, rig: Rig, big_file: Path) -> None:
    store = rig.behind_proxy()
    store.write(rig.uri("x"), b"first")
    store.delete(rig.uri("never-was-there"))
    rig.proxy.plan = Plan(action, count=3)

    store.write(rig.uri("x"), b"second")
    rig.proxy.plan = Plan(action, first=2, count=2)
    store.upload(big_file, rig.uri("big"))
    rig.proxy.plan = Plan(action, count=2)
    store.delete(rig.uri("x"))

    assert [info.uri for info in rig.store.list(rig.uri("").rstrip("/"))] == [rig.uri("big")]


@pytest.mark.parametrize("action", REFUSALS, ids=lambda a: a.name)
def test_a_refusal_that_stays_ends_for_a_new_pod_if_it_worked_before_and_for_good_if_not(
    action: Action, rig: Rig
) -> None:
    store = rig.behind_proxy(budget_seconds=1)
    rig.proxy.plan = Plan(action, count=None)
    never_worked = refusal(lambda: store.write(rig.uri("x"), b"first"))
    rig.proxy.plan = None
    store.write(rig.uri("x"), b"first")
    rig.proxy.plan = Plan(action, count=None)

    worked_before = refusal(lambda: store.write(rig.uri("x"), b"second"))

    assert never_worked.exit_code is ExitCode.ACCESS_DENIED
    assert worked_before.exit_code is ExitCode.UNAVAILABLE


def test_a_full_bucket_is_called_full(rig: Rig) -> None:
    rig.proxy.plan = Plan(Action.QUOTA_EXCEEDED, count=None)

    error = refusal(lambda: rig.behind_proxy().write(rig.uri("x"), b"x"))

    assert error.exit_code is ExitCode.STORAGE_FULL
    assert "full (QuotaExceeded)" in error.message
