"""The stage against a real S3 server: from objects to prepared rows, and every way in which S3 says no."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import PLAN, RunLayout
from lora_contract.order import Order
from lora_contract.report import Report
from lora_trainer import store as stores
from lora_trainer.command.stage import carry_out
from lora_trainer.data import prepared
from lora_trainer.errors import TrainerError
from lora_trainer.ledger.claims import take_claim
from lora_trainer.prepare.check import check
from support.prepare_bucket import Bucket
from support.prepare_orders import publish_adapter
from support.prepared_data import chat, lines
from support.seaweedfs import ADMIN, STRANGER, Identity, SeaweedFS, seaweedfs

#: May read and list the inputs, and write nothing.
READER = Identity("reader", "AKIDREADERREADERRE01", "reader-secret-key-of-the-tests-0001", ("Read", "List"))


def _prepare(ordered: Order, budget: int = 5) -> Report:
    return carry_out(ordered.model_copy(update={"unavailable_budget_seconds": budget}))


def _refusal(ordered: Order, budget: int = 5) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        _prepare(ordered, budget)
    return raised.value


def test_rows_and_plan_lie_where_training_looks_for_them(bucket: Bucket) -> None:
    ordered = bucket.order()

    report = _prepare(ordered)

    where = RunLayout(ordered.spec.output.uri, str(report.run_id)).prepared.removeprefix(f"s3://{bucket.name}/")
    assert {f"{where}/{name}" for name in (prepared.TRAIN, prepared.TEST, prepared.PROFILE, PLAN)} <= set(
        bucket.keys(where)
    )
    assert not [key for key in bucket.keys("output") if "probe" in key]
    assert report.plan is not None
    assert report.plan.rows > 30


def test_the_same_order_finds_the_plan_and_writes_nothing(bucket: Bucket) -> None:
    first = _prepare(bucket.order())
    before = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix="output")["Contents"]

    second = _prepare(bucket.order())

    assert second.plan == first.plan
    after = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix="output")["Contents"]
    assert [(entry["Key"], entry["ETag"]) for entry in after] == [(entry["Key"], entry["ETag"]) for entry in before]


def test_a_prefix_of_several_files_is_one_dataset(bucket: Bucket) -> None:
    bucket.put("rows/a.jsonl", lines([chat("P", "A")]))
    bucket.put("rows/b/c.csv", b"prompt,completion\nQ,A\n")
    bucket.put("rows/_SUCCESS", b"")

    uri = f"s3://{bucket.name}/rows"
    report = _prepare(bucket.order({"dataset.uri": uri, "dataset.split": {"validation": 0, "test": 0}}))

    assert report.plan is not None
    assert report.plan.rows == 2
    assert report.plan.format == "messages (columns messages); prompt-completion (columns prompt, completion)"


MISSING: dict[str, tuple[str, dict[str, str]]] = {
    "object": ("spec.dataset.uri", {"dataset.uri": "s3://{bucket}/nothing.jsonl"}),
    "prefix": ("spec.dataset.uri", {"dataset.uri": "s3://{bucket}/nothing/"}),
    "bucket": ("spec.dataset.uri", {"dataset.uri": "s3://no-such-bucket-here/rows.jsonl"}),
    "validation file": ("spec.dataset.validationUri", {"dataset.validationUri": "s3://{bucket}/nothing.jsonl"}),
    "model": ("spec.model.source", {"model.source": "s3://{bucket}/nothing/"}),
    "bucket of the model": ("spec.model.source", {"model.source": "s3://no-such-bucket-here/model/"}),
    "bucket of the output": ("spec.output.uri", {"output.uri": "s3://no-such-bucket-here/output/"}),
}


@pytest.mark.parametrize("what", MISSING)
def test_something_missing_ends_at_once_and_names_its_field(what: str, bucket: Bucket) -> None:
    param, changes = MISSING[what]
    started = time.monotonic()

    refusal = _refusal(bucket.order({key: value.format(bucket=bucket.name) for key, value in changes.items()}), 60)

    assert refusal.exit_code is ExitCode.INPUT_MISSING
    assert refusal.param == param
    assert "nothing" in refusal.message or "no-such-bucket-here" in refusal.message
    assert time.monotonic() - started < 20


def _use(monkeypatch: pytest.MonkeyPatch, server: SeaweedFS, identity: Identity) -> None:
    for name, value in server.environment(identity).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("identity", [STRANGER, Identity("nobody", "AKIDNOBODYNOBODYNO01", "unknown-key", ())])
def test_wrong_credentials_name_the_secret(
    identity: Identity, bucket: Bucket, s3_server: SeaweedFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use(monkeypatch, s3_server, identity)

    refusal = _refusal(bucket.order(), 60)

    assert refusal.exit_code is ExitCode.ACCESS_DENIED
    assert refusal.param == "spec.storage.secretName"
    assert identity.secret_key not in f"{refusal.message} {refusal.hint}"


@pytest.fixture
def server_with_reader(tmp_path: Path) -> Iterator[SeaweedFS]:
    with seaweedfs(tmp_path / "weed", (ADMIN, READER)) as server:
        yield server


def test_an_output_that_may_not_be_written_ends_before_anything_is_read(
    server_with_reader: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(server_with_reader, tmp_path)
    bucket.put("rows.jsonl", b"not even JSON")
    _use(monkeypatch, server_with_reader, READER)

    refusal = _refusal(bucket.order())

    assert refusal.exit_code is ExitCode.ACCESS_DENIED
    assert refusal.param == "spec.storage.secretName"
    assert bucket.name in refusal.message


def test_a_server_that_is_away_is_unavailable_after_the_budget(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")

    refusal = _refusal(bucket.order(), 1)

    assert refusal.exit_code is ExitCode.UNAVAILABLE
    assert refusal.param == "spec.output.uri"


def test_other_rows_under_the_same_key_are_found_with_the_right_to_read_alone(
    server_with_reader: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _use(monkeypatch, server_with_reader, ADMIN)
    bucket = Bucket(server_with_reader, tmp_path)
    first = _prepare(bucket.order())
    layout = RunLayout(bucket.order().spec.output.uri, str(first.run_id))
    claim = take_claim(stores.from_environment(5), layout, "1")
    assert first.plan is not None
    publish_adapter(tmp_path, layout, claim, dataset_digest=str(first.plan.dataset_digest))
    asked = bucket.order().model_copy(update={"stage": "check", "run_id": first.run_id})
    _use(monkeypatch, server_with_reader, READER)
    assert check(asked, stores.from_environment(5)).inputs_drifted is False

    bucket.put("rows.jsonl", lines([chat("Another question?", "Another answer.")]))

    assert check(asked, stores.from_environment(5)).inputs_drifted is True
