"""docs/sweeps.md: its commands do what it says, its examples are accepted, and it explains every reason."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
import yaml
from kubernetes import client

from lora_cluster.kubectl import Kubectl
from lora_contract import names
from lora_contract.report import Report
from lora_contract.status import MetricsStatus
from lora_contract.sweep import LoRASweepSpec, SweepReason, trials_of
from support.api_server import CRD
from support.kubelet import kubelet
from support.operator import StartOperator
from support.pods import Pods, prepared, trained
from support.sweeps import sweep

ROOT = CRD.parents[1]
PAGE = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
EXAMPLE = yaml.safe_load((ROOT / "examples" / "sweep.yaml").read_text(encoding="utf-8"))
TEAM = EXAMPLE["metadata"]["namespace"]


def blocks(language: str) -> list[str]:
    """The blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def at_work(api: client.ApiClient, start_operator: StartOperator) -> Iterator[None]:
    """An operator, and pods that do their work, in the namespace of the example."""
    client.CoreV1Api(api).create_namespace({"metadata": {"name": TEAM}})
    start_operator(WATCH_NAMESPACES=TEAM)
    with kubelet(Pods(api, TEAM), script):
        yield


def script(run: str, stage: str) -> Report:
    """The later a trial, the better."""
    if stage == names.STAGE_PREPARE:
        return prepared(run)
    loss = 1 - int(run[-2:]) / 10
    return trained().model_copy(update={"metrics": MetricsStatus(best_eval_loss=f"{loss:.4g}", test_loss="0.8")})


def test_its_commands_work_as_they_stand(at_work: None, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    commands = [shlex.split(line) for block in blocks("console") for line in block.splitlines()]
    assert len(commands) >= 9
    said = []
    for tool, *words in commands:
        assert tool == "kubectl"
        said.append(kubectl.run(*words, f"--namespace={TEAM}"))

    output = "\n".join(said)
    assert re.search(r"^NAME +PHASE +TRIALS +ACTIVE +BEST +LOSS +AGE$", output, flags=re.MULTILINE)
    assert re.search(r"^rates +Complete +6/6 +0 +rates-05 +0\.5 ", output, flags=re.MULTILINE)
    assert 'rates-05\tComplete\t0.5\t{"lora.r":"16","training.learningRate":"0.003"}' in output
    assert re.search(r"^s3://adapters/\S+$", output, flags=re.MULTILINE)


def test_the_example_and_the_lists_of_trials_are_good() -> None:
    assert len(trials_of("rates", LoRASweepSpec.model_validate(EXAMPLE["spec"]))) == 6
    for block in blocks("yaml"):
        spec = {key: value for key, value in sweep().items() if key != "grid"} | yaml.safe_load(block)
        assert len(trials_of("rates", LoRASweepSpec.model_validate(spec))) == 3


def test_it_explains_every_reason_of_sweeps() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE)
    assert sorted(rows) == sorted(SweepReason)
