"""A GitOps tool applies the same manifest again and again: nothing changes, and nothing is trained twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lora_cluster.kubectl import Kubectl
from lora_contract import names
from support.api_server import as_yaml, eventually, manifest
from support.judge import GITOPS
from support.runs import Runs
from support.specs import GOOD_SPECS, changed
from support.sweeps import sweep

#: How Flux and Argo CD apply.
SERVER_SIDE = ("apply", "--server-side", "--field-manager=kustomize-controller", "--filename=-")
CLIENT_SIDE = ("apply", "--filename=-")


def stored(kubectl: Kubectl, namespace: str, kind: str, name: str) -> dict[str, Any]:
    return kubectl.get(kind, name, f"--namespace={namespace}")


@pytest.mark.usefixtures("running_operator")
@pytest.mark.parametrize("words", [SERVER_SIDE, CLIENT_SIDE], ids=["server-side", "client-side"])
def test_a_run_that_is_applied_again_is_not_trained_again(
    runs: Runs, kubectl: Kubectl, namespace: str, words: tuple[str, ...]
) -> None:
    text = as_yaml(manifest("triage", changed({})))
    apply = (*words, f"--namespace={namespace}")
    kubectl.run(*apply, stdin=text)
    runs.completes("triage")
    # Its Jobs are gone, as they are some time after the end
    for job in runs.jobs("triage"):
        kubectl.run("delete", "job", job.metadata.name, f"--namespace={namespace}", "--ignore-not-found")
    eventually("its Jobs are gone", lambda: not runs.jobs("triage"))
    before = stored(kubectl, namespace, names.PLURAL, "triage")

    for _ in range(5):
        kubectl.run(*apply, stdin=text)

    # What the operator does next shows that it saw all of this
    runs.apply("another")
    runs.in_phase("another", "Preparing")
    after = stored(kubectl, namespace, names.PLURAL, "triage")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert (after["spec"], after["status"]) == (before["spec"], before["status"])
    assert not runs.jobs("triage")


@pytest.mark.usefixtures("running_operator")
def test_the_operator_writes_nothing_that_is_in_git(runs: Runs, kubectl: Kubectl, namespace: str) -> None:
    document = manifest("triage", changed({}))
    document["metadata"] |= {"labels": {"team": "a"}, "annotations": {"argocd.argoproj.io/tracking-id": "a:b/c:d/e"}}
    kubectl.run(*SERVER_SIDE, f"--namespace={namespace}", stdin=as_yaml(document))
    runs.completes("triage")

    found = kubectl.get(names.PLURAL, "triage", f"--namespace={namespace}", "--show-managed-fields")
    assert found["metadata"]["labels"] == document["metadata"]["labels"]
    assert found["metadata"]["annotations"] == document["metadata"]["annotations"]
    others = [entry for entry in found["metadata"]["managedFields"] if entry["manager"] != "kustomize-controller"]
    assert others, "the operator wrote the status"
    assert all(set(entry["fieldsV1"]) == {"f:status"} for entry in others)
    # Its Jobs bear nothing by which a tool would take them for its own
    for job in runs.jobs("triage"):
        assert "argocd" not in json.dumps(job.metadata.annotations | job.metadata.labels)


def listed(documents: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})


def test_what_is_stored_can_be_applied_back_without_a_change(kubectl: Kubectl, namespace: str) -> None:
    documents = [manifest(f"run-{number:02d}", changed(spec)) for number, spec in enumerate(GOOD_SPECS.values())]
    documents.append(manifest("rates", sweep()) | {"kind": names.SWEEP_KIND})
    apply = (*SERVER_SIDE, f"--namespace={namespace}")
    kubectl.run(*apply, stdin=listed(documents))
    kinds = f"{names.PLURAL},{names.SWEEP_PLURAL}"
    before = kubectl.get(kinds, f"--namespace={namespace}")["items"]
    assert len(before) == len(documents)

    # No tool sees a difference between what is in Git and what is stored with its defaults
    difference = ("diff", "--server-side", "--field-manager=kustomize-controller", "--filename=-")
    assert kubectl.run(*difference, f"--namespace={namespace}", stdin=listed(documents)) == ""

    # What is stored, defaults included, is what anyone may keep in Git from now on
    back = [body | {"metadata": {"name": body["metadata"]["name"]}} for body in before]
    for body in back:
        del body["status"]
    kubectl.run(*apply, stdin=listed(back))
    after = kubectl.get(kinds, f"--namespace={namespace}")["items"]
    assert [body["spec"] for body in after] == [body["spec"] for body in before]
    assert {body["metadata"]["generation"] for body in after} == {1}


def test_the_patch_for_argo_cd_leaves_its_other_settings_alone(kubectl: Kubectl, namespace: str) -> None:
    kubectl.run("create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example",
                f"--namespace={namespace}")  # fmt: skip

    for _ in range(2):
        kubectl.run("patch", "configmap", "argocd-cm", f"--patch-file={GITOPS / 'argocd-cm.yaml'}",
                    f"--namespace={namespace}")  # fmt: skip

    data = kubectl.get("configmap", "argocd-cm", f"--namespace={namespace}")["data"]
    assert data["url"] == "https://argocd.example"
    assert 'return {status = "Healthy"' in data["resource.customizations.health.lora-operator.dev_LoRASweep"]
