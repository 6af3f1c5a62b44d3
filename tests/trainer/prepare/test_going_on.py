"""Prepare holds the adapter that a run goes on from against manifest, headers and spec, on a real S3 server."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MANIFEST
from lora_contract.order import Order
from lora_contract.report import Report
from lora_contract.status import ParentStatus
from lora_trainer.command.stage import carry_out
from lora_trainer.errors import TrainerError
from support.chat_models import save_model, tokenizer
from support.parent_adapters import Parent, digest_of, safetensors, tensors_of
from support.prepare_orders import order
from support.prepared_data import chat, lines
from support.seaweedfs import ADMIN, Identity, SeaweedFS, seaweedfs

PREFIX = "adapters/base/0123"
COMMIT = "5a149550068a1eb93398160d8953f5f56c3603e9"
TEAM_B = Identity(
    "team-b",
    "AKIDTEAMBTEAMBTEAM01",
    "team-b-secret-key-of-the-tests-0001",
    ("Read:team-b", "List:team-b", "Write:team-b"),
)
FIRST = next(iter(tensors_of()))


class Bucket:
    """A bucket with a model, a dataset and a parent, and orders to go on from it."""

    def __init__(self, server: SeaweedFS, folder: Path, name: str | None = None) -> None:
        self.name = server.bucket(name)
        self.folder = folder
        self.client = server.client()
        for path in save_model(folder / "model").iterdir():
            self.put(f"model/{path.name}", path.read_bytes())
        self.put("rows.jsonl", lines(chat(f"Question {n}?", f"Answer {n}.") for n in range(40)))
        self.parent = Parent(COMMIT, str(tokenizer("chatml").chat_template))

    @property
    def uri(self) -> str:
        return f"s3://{self.name}/{PREFIX}"

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def publish(self) -> bytes:
        return self.parent.publish(lambda name, content: self.put(f"{PREFIX}/{name}", content))

    def order(self, changes: dict[str, Any] | None = None, **fields: Any) -> Order:
        base = {
            "model.source": f"s3://{self.name}/model/",
            "model.revision": COMMIT,
            "dataset.uri": f"s3://{self.name}/rows.jsonl",
            "output.uri": f"s3://{self.name}/output/",
            "storage.secretName": "s3-credentials",
            "from": {"adapter": f"{self.uri}/"},
        }
        return order(self.folder, base | (changes or {}), **({"unavailable_budget_seconds": 5} | fields))


@pytest.fixture
def bucket(s3_environment: SeaweedFS, tmp_path: Path) -> Bucket:
    return Bucket(s3_environment, tmp_path)


def refusal(ordered: Order) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        carry_out(ordered)
    return raised.value


def test_the_parent_is_told_and_is_part_of_the_identity(bucket: Bucket) -> None:
    digest = hashlib.sha256(bucket.publish()).hexdigest()

    report: Report = carry_out(bucket.order())

    assert report.parent == ParentStatus(uri=bucket.uri, manifest_digest=digest)
    fresh = carry_out(bucket.order({"from": None}))
    assert fresh.parent is None
    assert fresh.run_id != report.run_id
    # A parent that trained on other data is another parent.
    bucket.parent.manifest = {"datasetDigest": "d" * 64}
    bucket.publish()
    assert carry_out(bucket.order()).run_id not in (report.run_id, fresh.run_id)


def test_what_the_run_saw_first_is_asked_for(bucket: Bucket) -> None:
    digest = hashlib.sha256(bucket.publish()).hexdigest()
    known = ParentStatus(run="base", uri=bucket.uri, manifest_digest=digest)
    ordered = bucket.order({"from": {"run": "base"}}, parent=known)
    assert carry_out(ordered).parent is not None

    # Somebody publishes another adapter at the same address.
    bucket.parent.manifest = {"datasetDigest": "d" * 64}
    bucket.publish()

    refused = refusal(ordered)
    assert refused.exit_code is ExitCode.BAD_CONFIG
    assert refused.param == "spec.from.run"
    assert "not the one that this run saw first" in refused.message


def test_without_a_published_adapter_there_is_nothing_to_go_on_from(bucket: Bucket) -> None:
    refused = refusal(bucket.order())
    assert refused.exit_code is ExitCode.INPUT_MISSING
    assert refused.param == "spec.from.adapter"
    assert MANIFEST in refused.message


DIFFERENCES: dict[str, tuple[str, dict[str, Any], str]] = {
    "rank": ("spec.lora.r", {"lora.r": 8}, "lora.r is 8, but its r is 16"),
    "alpha": ("spec.lora.alpha", {"lora.alpha": 16}, "lora.alpha is 16, but its lora_alpha is 32"),
    "scaling": ("spec.lora.useRslora", {"lora.useRslora": True}, "lora.useRslora is true"),
    "modules": ("spec.lora.targetModules", {"lora.targetModules": ["q_proj"]}, "lora.targetModules are q_proj"),
    "base": ("spec.model.id", {"model.id": "org/other"}, "model.id is org/other"),
    "commit": ("spec.model.revision", {"model.revision": "b" * 40}, f"its base is of {COMMIT}"),
    "template": (
        "spec.chat.template",
        {"chat.template": str(tokenizer("chatml").chat_template) + "{# mine #}"},
        "the chat template, with its arguments, differs",
    ),
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_a_difference_is_refused_and_names_its_field(what: str, bucket: Bucket) -> None:
    param, changes, words = DIFFERENCES[what]
    bucket.publish()

    refused = refusal(bucket.order(changes))

    assert refused.exit_code is ExitCode.BAD_CONFIG
    assert refused.param == param
    assert words in refused.message


def test_all_differences_are_told_at_once(bucket: Bucket) -> None:
    bucket.publish()
    refused = refusal(bucket.order({"lora.r": 8, "lora.alpha": 16}))
    assert "lora.r is 8" in refused.message
    assert "lora.alpha is 16" in refused.message


def without(tensors: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in tensors.items() if key != name}


WRONG_TENSORS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "missing": (lambda all_: without(all_, FIRST), "lacks lora_A of layers.0"),
    "extra": (lambda all_: all_ | {"base_model.model.lm_head.lora_A.weight": ("BF16", (16, 64))}, "does not train"),
    "of no adapter": (lambda all_: all_ | {"model.norm.weight": ("BF16", (64,))}, "'model.norm.weight'"),
    "of another shape": (lambda all_: all_ | {FIRST: ("BF16", (16, 8))}, "is 16 x 8, where this run trains 16 x"),
    "of another type": (lambda all_: all_ | {FIRST: ("F32", all_[FIRST][1])}, "stored as F32"),
}


@pytest.mark.parametrize("what", WRONG_TENSORS)
def test_tensors_that_the_run_does_not_train_are_refused(what: str, bucket: Bucket) -> None:
    change, words = WRONG_TENSORS[what]
    bucket.parent.tensors = change(tensors_of())
    bucket.publish()

    refused = refusal(bucket.order())

    assert refused.exit_code is ExitCode.BAD_CONFIG
    assert refused.param == "spec.from.adapter"
    assert words.strip("'") in refused.message


#: A pickle that fails the test when anybody reads it.
PICKLE = b"cpytest\nfail\n(S'a pickle was read'\ntR."


def _files(name: str, content: bytes) -> dict[str, Any]:
    return {"files": {name: digest_of(content).model_dump()}}


def ends_with(parent: Parent, value: float) -> None:
    """Let the last weight of an adapter be a value."""
    parent.weights = safetensors(parent.tensors)[:-4] + struct.pack("<f", value)


POISON: dict[str, tuple[Callable[[Parent], Any], str]] = {
    "a pickle in the place of safetensors": (
        lambda parent: setattr(parent, "weights", PICKLE),
        "safetensors",
    ),
    "a pickle beside them": (
        lambda parent: parent.more.update({"adapter_model.bin": PICKLE}),
        "without",
    ),
    "a header of 4 GB": (lambda parent: setattr(parent, "weights", struct.pack("<Q", 1 << 32) + b"{}"), "header"),
    "a header that is cut": (lambda parent: setattr(parent, "weights", struct.pack("<Q", 999) + b"{}"), "header"),
    "a header that is no JSON": (lambda parent: setattr(parent, "weights", struct.pack("<Q", 4) + b"{{{{"), "not JSON"),
    "a way out of the folder": (lambda parent: parent.more.update({"../escape.json": b"{}"}), "'../escape.json'"),
    "an absolute path": (lambda parent: parent.more.update({"/etc/escape.json": b"{}"}), "'/etc/escape.json'"),
    "whole modules": (lambda parent: parent.config.update(modules_to_save=["lm_head"]), "sets modules_to_save"),
    "ranks by layer": (lambda parent: parent.config.update(rank_pattern={"q_proj": 4}), "sets rank_pattern"),
    "another kind of adapter": (lambda parent: parent.config.update(peft_type="IA3"), "peft_type IA3"),
    "a large configuration": (lambda parent: parent.config.update(note="x" * (1 << 20)), "are the most"),
    "weights that are no numbers": (lambda parent: ends_with(parent, float("nan")), "weights that are not finite"),
    "weights beyond all bounds": (lambda parent: ends_with(parent, 3e38), "not finite, or beyond 1e+06"),
    "no weights": (lambda parent: parent.manifest.update(_files(ADAPTER_CONFIG, b"{}")), "names no adapter_model"),
    "a manifest that is none": (lambda parent: parent.manifest.update(version=2), "is no manifest"),
    "a run without end": (lambda parent: parent.manifest.update(runId="0" * 100), "is no manifest"),
    "ancestors without end": (lambda parent: parent.manifest.update(ancestors=[{}] * 17), "is no manifest"),
    "a digest that is none": (
        lambda parent: parent.manifest.update(files={ADAPTER_WEIGHTS: {"sha256": "../x", "size": 1}}),
        "is no manifest",
    ),
}


@pytest.mark.parametrize("what", POISON)
def test_a_poisoned_parent_is_refused_and_nothing_of_it_is_run(what: str, bucket: Bucket) -> None:
    poison, words = POISON[what]
    poison(bucket.parent)
    bucket.publish()

    refused = refusal(bucket.order())

    assert refused.exit_code is ExitCode.BAD_CONFIG
    assert refused.param == "spec.from.adapter"
    assert words in refused.message


@pytest.mark.parametrize("name", [ADAPTER_CONFIG, ADAPTER_WEIGHTS])
def test_a_file_that_is_not_the_one_of_the_manifest_is_refused(name: str, bucket: Bucket) -> None:
    bucket.publish()
    content = bucket.client.get_object(Bucket=bucket.name, Key=f"{PREFIX}/{name}")["Body"].read()

    # Of the same size, with another last byte
    bucket.put(f"{PREFIX}/{name}", content[:-1] + b"\x01")

    refused = refusal(bucket.order())
    assert refused.param == "spec.from.adapter"
    assert f"{name} is missing, or is not the file that manifest.json names" in refused.message


def test_a_parent_is_read_with_the_rights_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The run's key pair reads and writes the bucket of its team, and the parent lies in that of another one.
    with seaweedfs(tmp_path / "weed", (ADMIN, TEAM_B)) as server:
        bucket = Bucket(server, tmp_path, "team-b")
        secret = server.bucket("team-a")
        bucket.parent.publish(lambda name, body: bucket.client.put_object(Bucket=secret, Key=f"a/{name}", Body=body))
        bucket.publish()
        for name, value in server.environment(TEAM_B).items():
            monkeypatch.setenv(name, value)
        assert carry_out(bucket.order()).parent is not None

        refused = refusal(bucket.order({"from": {"adapter": f"s3://{secret}/a"}}))

    assert refused.exit_code is ExitCode.ACCESS_DENIED
    assert f"s3://{secret}/a" in refused.message


def test_what_a_parent_says_of_its_gate_is_cut_and_harmless(bucket: Bucket) -> None:
    bucket.parent.manifest = {"gateFailed": "\x1b[2J" + "x" * 900_000}
    bucket.publish()
    (warning,) = [warning for warning in carry_out(bucket.order()).warnings if "missed its gate" in warning]
    assert "\x1b" not in warning
    assert len(warning) < 2000


def test_a_parent_that_missed_its_gate_is_gone_on_from_with_a_warning(bucket: Bucket) -> None:
    bucket.parent.manifest = {"gateFailed": "test loss 2.0 is 1.1 of the base model's"}
    bucket.publish()
    assert any("missed its gate: test loss 2.0" in warning for warning in carry_out(bucket.order()).warnings)
