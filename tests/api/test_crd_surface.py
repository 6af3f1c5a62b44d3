"""What people and tools see of the resource: status, columns, explanations, selection."""

from __future__ import annotations

import re

import pytest
from kubernetes import client

from lora_cluster.kubectl import Kubectl
from lora_contract import names
from lora_contract.conditions import Condition, ConditionType
from lora_contract.status import (
    ArtifactStatus,
    AttemptStatus,
    LoRAFineTuneStatus,
    MetricsStatus,
    Phase,
    PlanStatus,
    ProgressStatus,
    UsageStatus,
)
from support.api_server import FineTunes
from support.specs import BASE

RUNNING = LoRAFineTuneStatus(
    observed_generation=1,
    phase=Phase.RUNNING,
    spec_hash="0" * 64,
    run_id="1" * 32,
    conditions=[
        Condition(
            type=ConditionType.READY,
            status="False",
            reason="Training",
            message="step 42 of 100",
            last_transition_time="2026-01-31T12:00:00Z",
            observed_generation=1,
        )
    ],
    start_time="2026-01-31T11:58:00Z",
    plan=PlanStatus(rows=480, tokens=96_000, total_steps=100, fits=True),
    progress=ProgressStatus(step=42, total_steps=100, percent=42, summary="42/100 (42%)", eta_seconds=75, eta="1m15s"),
    metrics=MetricsStatus(train_loss="1.2345", best_step=40),
    attempts=[
        AttemptStatus(pod="triage-train-1", node="node-a", reason="OOMKilled", exit_code=137),
        AttemptStatus(pod="triage-train-2", node="node-b", from_step=40),
    ],
    usage=UsageStatus(gpu_seconds=120, lost_steps=2),
    artifact=ArtifactStatus(
        uri="s3://adapters/team-a/triage/1111/",
        manifest_digest="2" * 64,
        size_bytes=1_000_000,
        base_model="microsoft/Phi-4-mini-instruct",
        required_max_lora_rank=16,
    ),
    warnings=["7 rows were cut at 512 tokens"],
)


def test_a_new_object_does_not_look_healthy(finetunes: FineTunes) -> None:
    assert finetunes.create("triage", BASE)["status"] == {"observedGeneration": -1}


def test_a_status_is_stored_as_it_was_written(finetunes: FineTunes) -> None:
    finetunes.create("triage", BASE)
    stored = finetunes.write_status("triage", RUNNING.dump())
    assert stored["status"] == RUNNING.dump()
    assert LoRAFineTuneStatus.model_validate(stored["status"]) == RUNNING
    assert stored["metadata"]["generation"] == 1


def test_a_write_of_the_spec_leaves_the_status(finetunes: FineTunes) -> None:
    finetunes.create("triage", BASE)
    finetunes.write_status("triage", RUNNING.dump())
    finetunes.replace("triage", BASE | {"suspend": True})
    assert finetunes.get("triage")["status"] == RUNNING.dump()


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_is_accepted(finetunes: FineTunes, phase: Phase) -> None:
    finetunes.create("triage", BASE)
    finetunes.write_status("triage", {"phase": phase.value})


def test_two_conditions_of_a_type_are_refused(finetunes: FineTunes) -> None:
    finetunes.create("triage", BASE)
    twice = RUNNING.dump()["conditions"] * 2
    with pytest.raises(client.ApiException, match="Duplicate value"):
        finetunes.write_status("triage", {"conditions": twice})


def test_get_shows_the_run_on_one_line(finetunes: FineTunes, kubectl: Kubectl, namespace: str) -> None:
    finetunes.create("triage", BASE)
    finetunes.write_status("triage", RUNNING.dump())
    heading, row = kubectl.run("get", names.SHORT_NAME, f"--namespace={namespace}").splitlines()
    assert heading.split() == ["NAME", "PHASE", "PROGRESS", "LOSS", "ETA", "AGE"]
    assert re.fullmatch(r"triage +Running +42/100 \(42%\) +1\.2345 +1m15s +\d+s", row.rstrip())


def test_wide_shows_model_reason_latest_node_and_adapter(
    finetunes: FineTunes, kubectl: Kubectl, namespace: str
) -> None:
    finetunes.create("triage", BASE)
    finetunes.write_status("triage", RUNNING.dump())
    heading, row = kubectl.run("get", "ml", f"--namespace={namespace}", "--output=wide").splitlines()
    assert heading.split()[6:] == ["MODEL", "REASON", "NODE", "ADAPTER"]
    assert row.split()[-4:] == [
        "microsoft/Phi-4-mini-instruct", "Training", "node-b", "s3://adapters/team-a/triage/1111/",
    ]  # fmt: skip


def test_runs_are_selected_by_phase(finetunes: FineTunes, kubectl: Kubectl, namespace: str) -> None:
    for name, phase in (("a", Phase.FAILED), ("b", Phase.RUNNING)):
        finetunes.create(name, BASE)
        finetunes.write_status(name, {"phase": phase.value})
    failed = kubectl.run(
        "get", names.PLURAL, f"--namespace={namespace}", "--field-selector=status.phase=Failed", "--output=name"
    )
    assert failed.split() == [f"{names.SINGULAR}.{names.GROUP}/a"]


def test_wait_returns_when_the_condition_comes(finetunes: FineTunes, kubectl: Kubectl, namespace: str) -> None:
    finetunes.create("triage", BASE)
    finetunes.write_status("triage", RUNNING.dump())
    kubectl.run("wait", "--for=condition=Ready=false", "lft/triage", f"--namespace={namespace}", "--timeout=30s")


def test_explain_tells_meaning_unit_default_and_example(kubectl: Kubectl) -> None:
    text = " ".join(kubectl.run("explain", "lorafinetune.spec.training").split())
    assert "saveSteps <integer> Steps between checkpoints in S3" in text
    assert "Default: 20. Example: 20." in text
    assert "epochs <number>" in text
    schedule = kubectl.run("explain", "lorafinetune.spec.training.schedule")
    assert schedule.split("ENUM:")[1].split()[:3] == ["cosine", "linear", "constant"]
