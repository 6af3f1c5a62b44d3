"""Where the cluster does not do what was asked, the words say why and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lora_contract import names
from support.cli import Plugin
from support.stub_cluster import StubCluster

FORBIDDEN = (
    'lorafinetunes.lora-operator.dev is forbidden: User "me" cannot list resource "lorafinetunes" in API group'
    ' "lora-operator.dev" in the namespace "team-a"'
)


def test_an_unknown_run_is_named_with_what_may_be_meant(kubectl_lora: Plugin) -> None:
    said = kubectl_lora("status", "triag")
    assert (said.code, said.out) == (1, "")
    assert said.err == "error: There is no LoRAFineTune triag in namespace team-a. Is triage meant?\n"
    assert "`kubectl lora list --all-namespaces`" in kubectl_lora("status", "else").err


def test_a_name_is_no_path(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    assert "There is no LoRAFineTune ../../secrets/x" in kubectl_lora("suspend", "../../secrets/x").err
    assert cluster.written == []


def test_who_has_no_right_learns_which_one_it_takes(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    cluster.refusals[names.PLURAL] = (403, {"message": FORBIDDEN})

    said = kubectl_lora("list")

    assert said.code == 1
    assert "the verb list on the resource lorafinetunes of API group lora-operator.dev" in said.err


def test_credentials_that_are_not_accepted_are_those_of_a_context(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    cluster.refusals[names.PLURAL] = (401, {"message": "Unauthorized"})

    assert "does not accept the credentials of context demo" in kubectl_lora("list").err


def test_a_cluster_without_the_operator_is_told_from_one_without_the_run(
    kubectl_lora: Plugin, cluster: StubCluster
) -> None:
    cluster.refusals = {names.PLURAL: (404, "404 page not found"), "triage": (404, "404 page not found")}

    for words in (("list",), ("status", "triage")):
        assert "lora-operator is not installed there" in kubectl_lora(*words).err


def test_a_cluster_that_does_not_answer_is_named_with_its_context(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    kubeconfig = Path(os.environ["KUBECONFIG"])
    kubeconfig.write_text(kubeconfig.read_text().replace(cluster.url, "http://127.0.0.1:1"))

    said = kubectl_lora("list")

    assert said.code == 1
    assert "The cluster of context demo (http://127.0.0.1:1) does not answer" in said.err
    assert "Connection refused" in said.err


def test_something_else_that_answers_is_no_cluster(kubectl_lora: Plugin, cluster: StubCluster) -> None:
    cluster.refusals[names.PLURAL] = (200, "<html>Welcome</html>")

    assert "none of an API server; is context demo right?" in kubectl_lora("list").err


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "cannot be used"), ("- a", "cannot be used"), ("contexts: 3", "cannot be used"), ("{", "cannot be used")],
)
def test_a_kubeconfig_that_is_none_is_told(kubectl_lora: Plugin, tmp_path: Path, content: str, words: str) -> None:
    Path(os.environ["KUBECONFIG"]).write_text(content)

    said = kubectl_lora("list")

    assert said.code == 1
    assert words in said.err


def test_an_unknown_context_is_named_with_those_that_there_are(kubectl_lora: Plugin) -> None:
    assert kubectl_lora("list", "--context", "prod").err == "error: There is no context prod; there are demo.\n"


def test_a_reader_that_has_seen_enough_sees_no_trace(cluster: StubCluster, tmp_path: Path) -> None:
    environment = os.environ | {"KUBECONFIG": str(cluster.write_kubeconfig(tmp_path / "config"))}
    command = f"{sys.executable} -m lora_cli list -o json | head -c 1"
    said = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)

    assert said.stdout == "{"
    assert "Traceback" not in said.stderr
