"""`kubectl lora download` and `report`: every byte is what was published, or nothing is kept."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_cli.errors import CommandError
from lora_cli.storage.adapter import find_adapter
from lora_contract.status import ArtifactStatus
from support.cli import Plugin
from support.cli_demo import complete
from support.cli_published import publish
from support.stub_cluster import StubCluster

FOLDER = "/adapters/team-a/triage/2d5658b126f01b81e5403dd84286bc18"
FILES = {"adapter_model.safetensors": b"weights" * 500_000, "report.html": b"<html>report</html>", "README.md": b"card"}


def given_adapter(cluster: StubCluster, files: dict[str, bytes]) -> None:
    """Put an adapter beside the cluster."""
    run = complete()
    publish(cluster, run["status"]["artifact"], files)
    run["spec"]["storage"] = {"endpoint": cluster.url, "secretName": "s3"}
    cluster.runs = [run]


@pytest.fixture
def lora(kubectl_lora: Plugin, cluster: StubCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """The command line with credentials, in an empty folder, beside a published adapter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    given_adapter(cluster, FILES)
    return kubectl_lora


def there(folder: Path) -> dict[str, bytes]:
    """The files of a folder, hidden ones too."""
    return {file.name: file.read_bytes() for file in folder.iterdir()} if folder.exists() else {}


def test_an_adapter_is_fetched_whole_and_not_read_again(lora: Plugin, cluster: StubCluster, tmp_path: Path) -> None:
    said = lora("download", "triage")

    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "The adapter in triage is whole: 3 files, each as its manifest says."
    assert there(tmp_path / "triage") == FILES | {"manifest.json": cluster.objects[f"{FOLDER}/manifest.json"]}
    again = lora("download", "triage")
    assert again.code == 0
    assert again.out.count("was there already") == 3


def test_a_report_is_fetched_alone(lora: Plugin, tmp_path: Path) -> None:
    assert lora("report", "triage") == (0, "triage-report.html\n", "")
    assert (tmp_path / "triage-report.html").read_bytes() == FILES["report.html"]


@pytest.mark.parametrize(
    "content", [b"weightz" * 500_000, b"weights", b"weights" * 500_001], ids=["other", "short", "long"]
)
def test_a_file_that_was_changed_is_not_kept(
    lora: Plugin, cluster: StubCluster, tmp_path: Path, content: bytes
) -> None:
    cluster.objects[f"{FOLDER}/adapter_model.safetensors"] = content

    said = lora("download", "triage")

    assert said.code == 1
    assert "adapter_model.safetensors is not what the manifest says" in said.err
    assert set(there(tmp_path / "triage")) == {"README.md"}


def test_a_manifest_that_was_changed_is_not_followed(lora: Plugin, cluster: StubCluster, tmp_path: Path) -> None:
    cluster.objects[f"{FOLDER}/manifest.json"] += b" "

    said = lora("download", "triage")

    assert said.code == 1
    assert "is not the manifest that the run published" in said.err
    assert there(tmp_path / "triage") == {}


class _Objects(dict[str, bytes]):
    """Objects by their address."""

    def blocks(self, address: str) -> Iterator[bytes]:
        yield self[address]


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/b", "..", ".hidden", "a\\b", "a\nb", "", "manifest.json"])
def test_a_manifest_that_names_what_is_no_file_of_the_folder_is_refused(name: str) -> None:
    manifest = json.dumps({"files": {name: {"sha256": "0" * 64, "size": 1}}}).encode()
    published = complete()["status"]["artifact"] | {"manifestDigest": hashlib.sha256(manifest).hexdigest()}
    artifact = ArtifactStatus.model_validate(published)

    with pytest.raises(CommandError, match="which is no file of the folder; nothing is written"):
        find_adapter(_Objects({f"{artifact.uri}/manifest.json": manifest}), artifact)


def test_what_lies_in_the_folder_already_is_left_alone(lora: Plugin, tmp_path: Path) -> None:
    folder = tmp_path / "triage"
    folder.mkdir()
    (folder / "README.md").symlink_to(tmp_path / "mine")
    (tmp_path / "mine").write_text("mine")

    said = lora("download", "triage")

    assert said.code == 1
    assert "is there already and is another file" in said.err
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(lora: Plugin, tmp_path: Path) -> None:
    (tmp_path / "triage").write_text("a file")

    assert "error: triage cannot be made: File exists" in lora("download", "triage").err


def test_who_may_not_read_learns_what_it_takes(lora: Plugin, cluster: StubCluster) -> None:
    denied = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    cluster.objects = {}
    cluster.refusals["manifest.json"] = (403, denied)

    said = lora("download", "triage")
    assert "Your credentials may not read s3://adapters" in said.err
    assert "s3:GetObject" in said.err
    assert "--run-credentials" in said.err


def test_the_keys_of_the_runs_secret_are_used_and_never_shown(lora: Plugin, cluster: StubCluster) -> None:
    cluster.secret = {"AWS_ACCESS_KEY_ID": "AKIDOFRUN", "AWS_SECRET_ACCESS_KEY": "canary-of-the-run"}

    said = lora("download", "triage", "--run-credentials")
    assert said.code == 0, said.err

    cluster.objects = {}
    failed = lora("report", "triage", "--run-credentials", "-o", "other.html")
    assert failed.code == 1
    assert "canary" not in said.out + said.err + failed.out + failed.err

    cluster.secret = {}
    assert "The Secret s3 has no AWS_ACCESS_KEY_ID" in lora("report", "triage", "--run-credentials").err


def test_s3_that_does_not_answer_is_named(lora: Plugin) -> None:
    said = lora("report", "triage", "--endpoint", "http://127.0.0.1:1")

    assert said.code == 1
    assert "http://127.0.0.1:1" in said.err
    assert "--endpoint names the address of S3 as it is seen from here" in said.err


def test_without_credentials_it_is_told_how_to_give_some(
    lora: Plugin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    assert "Set AWS_PROFILE" in lora("report", "triage").err


def test_without_boto3_it_is_told_how_to_get_it(lora: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)

    assert "pip install boto3" in lora("report", "triage").err


def test_a_run_without_an_adapter_has_nothing_to_fetch(lora: Plugin, cluster: StubCluster) -> None:
    del cluster.runs[0]["status"]["artifact"]

    assert "has published no adapter; it is Complete." in lora("download", "triage").err


def test_an_address_that_is_none_of_s3_is_refused(lora: Plugin, cluster: StubCluster) -> None:
    cluster.runs[0]["status"]["artifact"]["uri"] = "file:///etc"

    assert "must be a storage address" in lora("download", "triage").err
