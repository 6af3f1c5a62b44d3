"""`kubectl lora` against a real API server and the operator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes import client

from lora_cluster.control_plane import ControlPlane
from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.exit_codes import ExitCode
from support import operator
from support.api_server import as_yaml, manifest
from support.kubelet_logs import kubelet_logs
from support.pods import failed, prepared, trained
from support.runs import Runs
from support.specs import BASE, changed


class CommandLine:
    """The plugin as a user calls it."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._environment = os.environ | {"KUBECONFIG": str(kubeconfig)}
        self._namespace = namespace

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start it, and do not wait for it."""
        command = [sys.executable, "-m", "lora_cli", *words, "--namespace", self._namespace]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self._environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def __call__(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        process = self.start(*words)
        out, err = process.communicate(stdin, timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, out, err)


@pytest.fixture
def kubectl_lora(control_plane: ControlPlane, namespace: str) -> CommandLine:
    return CommandLine(control_plane.kubeconfig, namespace)


@pytest.mark.usefixtures("running_operator")
def test_a_failure_is_explained_and_a_run_started_again(runs: Runs, kubectl_lora: CommandLine) -> None:
    runs.apply("triage")
    report = failed("prepare", "triage.jsonl line 7: not JSON", hint="Mend line 7.")
    runs.pods.run("triage", names.STAGE_PREPARE, report, ExitCode.BAD_DATA)
    runs.reaches("triage", ConditionType.FAILED)

    explained = kubectl_lora("explain-failure", "triage").stdout
    assert all(text in explained for text in ("BadData", "triage.jsonl line 7: not JSON", "Mend line 7.")), explained
    assert "Failed" in kubectl_lora("status", "triage").stdout
    assert "has ended (Failed)" in kubectl_lora("suspend", "triage").stderr

    assert kubectl_lora("check-inputs", "triage").returncode == 0
    assert runs.finetunes.get("triage")["spec"]["checkToken"]
    assert kubectl_lora("rerun", "triage").returncode == 0
    runs.in_phase("triage", "Preparing")
    assert "Say --yes if so." in kubectl_lora("rerun", "triage").stderr
    assert kubectl_lora("suspend", "triage").returncode == 0
    runs.in_phase("triage", "Suspended")
    assert kubectl_lora("resume", "triage").returncode == 0
    runs.in_phase("triage", "Preparing")


@pytest.mark.usefixtures("running_operator")
def test_a_run_is_followed_from_its_creation_to_its_end(runs: Runs, kubectl_lora: CommandLine) -> None:
    made = kubectl_lora("create", "triage", *_flags(), "--max-steps=40", "--apply")
    assert made.returncode == 0, made.stderr
    watched = kubectl_lora.start("watch", "triage", "--interval", "0.2")
    assert watched.stdout is not None
    first = watched.stdout.readline()
    runs.pods.run("triage", names.STAGE_PREPARE, prepared("triage"))
    runs.pods.run("triage", names.STAGE_TRAIN, trained())

    told, errors = watched.communicate(timeout=120)

    assert watched.returncode == 0, errors
    assert first.split()[1] in ("Pending", "Preparing")
    assert "AdapterPublished" in told
    assert "loss 2.100 -> 0.6000" in told
    listed = json.loads(kubectl_lora("list", "-o", "json").stdout)
    assert [item["status"]["phase"] for item in listed["items"]] == ["Complete"]
    assert kubectl_lora("top").stdout.splitlines()[1].split()[:3] == [runs.namespace, "1", "0"]


@pytest.mark.usefixtures("running_operator")
def test_a_log_is_followed_over_stages_and_replaced_pods(
    api: client.ApiClient, runs: Runs, kubectl_lora: CommandLine, namespace: str
) -> None:
    runs.apply("triage")
    with kubelet_logs(api, f"node-{namespace}") as kubelet:
        followed = kubectl_lora.start("logs", "triage", "--follow")
        assert followed.stdout is not None
        said = []
        for stage, words, report, code in (
            (names.STAGE_PREPARE, "363 rows", prepared("triage"), ExitCode.DONE),
            (names.STAGE_TRAIN, "\x1b[31mS3 is away\x1b[0m", failed("train", "S3 is away"), ExitCode.UNAVAILABLE),
            (names.STAGE_TRAIN, "step 40", trained(), ExitCode.DONE),
        ):
            pod = runs.pods.appears("triage", stage)
            kubelet.takes(pod, f"{words}\n")
            runs.pods.starts(pod)
            runs.pods.ends(pod, report, code)
            said.append(followed.stdout.readline())
        runs.reaches("triage", ConditionType.COMPLETE)
        rest, heads = followed.communicate(timeout=120)

    assert (followed.returncode, rest) == (0, ""), heads
    assert said == ["363 rows\n", "S3 is away\n", "step 40\n"]
    assert [line.split()[1] for line in heads.splitlines()] == ["prepare", "train", "train"]


@pytest.mark.usefixtures("running_operator")
def test_runs_are_listed_and_compared(runs: Runs, kubectl_lora: CommandLine) -> None:
    runs.apply("triage", suspend=True)
    runs.apply("wider", lora__r=64, suspend=True)
    for name in ("triage", "wider"):
        runs.in_phase(name, "Suspended")

    lines = kubectl_lora("list", "--sort", "age", "-o", "wide").stdout.splitlines()
    assert sorted(line.split()[0] for line in lines[1:]) == ["triage", "wider"]
    assert kubectl_lora("list", "--phase", "Complete").stderr.startswith("There are no such runs")
    rows = [line.split() for line in kubectl_lora("compare", "triage", "wider").stdout.splitlines()]
    assert ["lora.r", "16", "64"] in rows


def test_a_dry_run_tells_what_only_the_cluster_knows(runs: Runs, kubectl_lora: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "triage.yaml"
    file.write_text(as_yaml(manifest("triage", BASE)))
    answer = kubectl_lora("validate", "--server", "-f", str(file))
    assert answer.stdout == f"{file}: LoRAFineTune triage is valid, also on the cluster\n"
    assert kubectl_lora("list").stderr.startswith("There are no runs")

    runs.apply("triage")
    file.write_text(as_yaml(manifest("triage", changed({"lora.r": 8}))))

    answer = kubectl_lora("validate", "--server", "-f", str(file))
    assert answer.returncode == 1
    assert "the cluster refuses it" in answer.stdout
    assert "spec.lora is immutable" in answer.stdout
    assert "already exists" in kubectl_lora("create", "triage", *_flags(), "--apply").stderr


def test_who_may_do_nothing_learns_which_right_it_takes(
    api: client.ApiClient, control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    client.CoreV1Api(api).create_namespaced_service_account(namespace, {"metadata": {"name": "guest"}})
    request = {"spec": {"expirationSeconds": 3600}}
    token = client.CoreV1Api(api).create_namespaced_service_account_token("guest", namespace, request).status.token
    guest = CommandLine(operator.with_token(control_plane, token, tmp_path / "guest"), namespace)

    for words, right in ((("list",), "the verb list"), (("status", "triage"), "the verb get")):
        answer = guest(*words)
        assert answer.returncode == 1
        assert f"{right} on the resource {names.PLURAL} of API group {names.GROUP}" in answer.stderr


def test_what_does_not_exist_is_told_in_one_line(kubectl_lora: CommandLine, namespace: str) -> None:
    answer = kubectl_lora("status", "nothing")
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: There is no LoRAFineTune nothing in namespace {namespace}.")
    assert answer.stderr.count("\n") == 1


def _flags() -> list[str]:
    model = BASE["model"]
    words = {"model": model["id"], "revision": model["revision"], "dataset": BASE["dataset"]["uri"]}
    return [f"--{name}={value}" for name, value in (words | {"output": BASE["output"]["uri"]}).items()]
