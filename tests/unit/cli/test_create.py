"""`kubectl lora create`: flags become YAML that can be applied."""

from __future__ import annotations

import yaml

from lora_contract.manifest import read_manifest
from support.cli import Plugin
from support.stub_cluster import StubCluster

FLAGS = (
    "--model=microsoft/Phi-4-mini-instruct",
    f"--revision={'5' * 40}",
    "--dataset=s3://datasets/triage.jsonl",
    "--output=s3://adapters/team-a/",
)


def test_flags_become_a_manifest_that_the_cluster_takes(kubectl_lora: Plugin) -> None:
    said = kubectl_lora("create", "triage", *FLAGS, "--secret=s3", "--set", "lora.r=32", "--set=training.seed=7")

    manifest = yaml.safe_load(said.out)
    assert read_manifest(manifest, cluster=True).name == "triage"
    assert manifest["spec"]["training"] == {"epochs": 3, "seed": 7}
    assert manifest["spec"]["lora"] == {"r": 32}
    assert manifest["spec"]["storage"] == {"secretName": "s3"}


def test_what_cannot_be_run_is_refused_with_every_fault(kubectl_lora: Plugin) -> None:
    said = kubectl_lora("create", "Triage", *FLAGS, "--max-steps=0", "--set=lora.rank=8")

    assert said.code == 1
    assert said.out == ""
    assert "spec.lora.rank: unknown field" in said.err
    assert "spec.training.maxSteps" in said.err
    assert "metadata.name" in said.err


def test_a_setting_of_another_form_is_told(kubectl_lora: Plugin) -> None:
    assert "write FIELD=VALUE" in kubectl_lora("create", "triage", *FLAGS, "--set=lora.r").err
    assert "the value" in kubectl_lora("create", "triage", *FLAGS, "--set=lora.r={").err
    below = kubectl_lora("create", "triage", *FLAGS, "--set=lora=1", "--set=lora.r=8")
    assert "nothing can stand below it" in below.err


def test_without_a_terminal_nothing_is_asked(kubectl_lora: Plugin) -> None:
    assert "Say the name of the run" in kubectl_lora("create").err
    assert "spec.model: is missing" in kubectl_lora("create", "triage").err


def test_apply_creates_it(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    said = kubectl_lora("create", "triage-v3", *FLAGS, "--apply", "-n", "team-b")

    assert "LoRAFineTune team-b/triage-v3 is created" in said.out
    [(method, path, body)] = cluster.written
    assert (method, path.split("/")[-2:]) == ("POST", ["team-b", "lorafinetunes"])
    assert body["metadata"]["name"] == "triage-v3"
