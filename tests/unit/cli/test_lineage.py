"""`kubectl lora lineage`: the chain of adapters above a run, from the runs there are and from manifests in S3."""

from __future__ import annotations

import hashlib
import json

import pytest

from support.cli import Plugin
from support.cli_demo import BASE, BASE_MANIFEST, complete, run, running
from support.stub_cluster import StubCluster

MANIFEST = f"{BASE.removeprefix('s3:/')}/manifest.json"


@pytest.fixture
def lora(kubectl_lora: Plugin, cluster: StubCluster, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """The command line with credentials, beside the adapter that `triage` goes on from."""
    for name, value in (("ACCESS_KEY_ID", "AKID"), ("SECRET_ACCESS_KEY", "x"), ("ENDPOINT_URL_S3", cluster.url)):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    cluster.objects = {MANIFEST: BASE_MANIFEST}
    return kubectl_lora


def names_of(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()[1:]]


def test_runs_by_their_status_and_what_is_gone_by_its_manifest(lora: Plugin) -> None:
    said = lora("lineage", "triage-v2")

    assert said.code == 0, said.err
    assert names_of(said.out) == ["triage-v2", "triage", "triage-base", "letters"]
    gone = said.out.splitlines()[3]
    assert "not in the namespace" in gone
    assert "0.0341" in gone
    assert BASE in gone


def test_a_run_of_a_fresh_adapter_stands_alone(lora: Plugin) -> None:
    said = lora("lineage", "broken")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "It begins with a fresh adapter."


def test_a_run_that_waits_says_for_whom(lora: Plugin, cluster: StubCluster) -> None:
    cluster.runs = [run("child", {"phase": "Pending"}, **{"from": {"run": "triage"}})]
    assert lora("lineage", "child").out.splitlines()[-1] == "It waits for the adapter of run triage."


@pytest.mark.parametrize("content", [BASE_MANIFEST + b" ", None], ids=["changed", "deleted"])
def test_a_manifest_that_is_not_the_one_that_was_trained_on_is_not_believed(
    lora: Plugin, cluster: StubCluster, content: bytes | None
) -> None:
    cluster.objects = {} if content is None else {MANIFEST: content}

    said = lora("lineage", "triage-v2")

    # What is known is shown, and why the rest is not.
    assert said.code == 1
    assert names_of(said.out)[:2] == ["triage-v2", "triage"]
    assert "letters" not in said.out
    assert "What is above cannot be read" in said.err


def test_a_run_of_the_same_name_with_another_adapter_is_no_ancestor(lora: Plugin, cluster: StubCluster) -> None:
    # Since triage-v2 began, triage was deleted, and a run of its name published another adapter.
    other = complete()
    other["status"]["artifact"]["manifestDigest"] = "cd" * 32
    cluster.runs = [running(), other]

    said = lora("lineage", "triage-v2")

    assert said.code == 1
    assert "not read" in said.out.splitlines()[2]


def test_a_status_that_names_itself_as_parent_ends(lora: Plugin, cluster: StubCluster) -> None:
    circle = complete()
    circle["status"]["parent"] = {"uri": BASE, "manifestDigest": circle["status"]["artifact"]["manifestDigest"]}
    cluster.runs = [circle]

    said = lora("lineage", "triage")

    assert names_of(said.out)[:2] == ["triage", "triage"]
    assert said.code == 1


def test_words_of_a_manifest_cannot_move_the_cursor(lora: Plugin, cluster: StubCluster) -> None:
    hostile = json.loads(BASE_MANIFEST)
    hostile["ancestors"][0]["uri"] = "s3://adapters/\x1b[31mred/0"
    content = json.dumps(hostile).encode()
    cluster.objects = {MANIFEST: content}
    child = running()
    child["status"]["parent"] = {"uri": BASE, "manifestDigest": hashlib.sha256(content).hexdigest()}
    cluster.runs = [child]

    said = lora("lineage", "triage-v2")

    assert said.code == 0, said.err
    assert "\x1b" not in said.out
    assert "red" in said.out
