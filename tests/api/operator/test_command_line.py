"""`kubectl lora` against a real API server."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lora_cluster.control_plane import ControlPlane
from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.exit_codes import ExitCode
from support.pods import failed
from support.runs import Runs


class CommandLine:
    """The plugin as a user calls it."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._environment = os.environ | {"KUBECONFIG": str(plane.kubeconfig), "COLUMNS": "200"}
        self._namespace = namespace

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lora_cli", *words, "--namespace", self._namespace]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def kubectl_lora(control_plane: ControlPlane, namespace: str) -> CommandLine:
    return CommandLine(control_plane, namespace)


@pytest.mark.usefixtures("running_operator")
def test_a_failure_is_explained_and_a_run_started_again(runs: Runs, kubectl_lora: CommandLine) -> None:
    runs.apply("triage")
    report = failed("prepare", "triage.jsonl line 7: not JSON", hint="Mend line 7.")
    runs.pods.run("triage", names.STAGE_PREPARE, report, ExitCode.BAD_DATA)
    runs.reaches("triage", ConditionType.FAILED)

    explained = kubectl_lora("explain-failure", "triage").stdout
    assert all(text in explained for text in ("BadData", "triage.jsonl line 7: not JSON", "Mend line 7.")), explained
    assert "Failed" in kubectl_lora("status", "triage").stdout

    assert kubectl_lora("check-inputs", "triage").returncode == 0
    assert runs.finetunes.get("triage")["spec"]["checkToken"]
    assert kubectl_lora("rerun", "triage").returncode == 0
    runs.in_phase("triage", "Preparing")
    assert kubectl_lora("suspend", "triage").returncode == 0
    runs.in_phase("triage", "Suspended")
    assert kubectl_lora("resume", "triage").returncode == 0
    runs.in_phase("triage", "Preparing")


def test_what_does_not_exist_is_told_in_one_line(kubectl_lora: CommandLine) -> None:
    answer = kubectl_lora("status", "nothing")
    assert answer.returncode == 1
    assert "not found" in answer.stderr
    assert "Traceback" not in answer.stderr
