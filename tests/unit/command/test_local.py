"""`lora-trainer run`: what a file must hold, and what its user reads."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from lora_contract import names
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.report import Report
from lora_trainer.command import local
from lora_trainer.errors import TrainerError
from support.specs import BASE, changed


def test_the_local_command_names_every_wrong_field(tmp_path: Path) -> None:
    path = tmp_path / "finetune.yaml"
    document = {
        "kind": names.KIND,
        "metadata": {"name": "x"},
        "spec": {
            "model": {"id": "a/b", "allowFloatingRevision": True},
            "training": {"maxSteps": 0},
            "lora": {"rank": 8},
        },
    }
    path.write_text(json.dumps(document))
    with pytest.raises(TrainerError) as caught:
        local.read(path)
    for field in ("spec.dataset", "spec.output", "spec.training.maxSteps", "spec.lora.rank"):
        assert field in caught.value.message


@pytest.mark.parametrize("text", ["", "a: [", "kind: Other\n"])
def test_the_local_command_says_when_a_file_holds_no_finetune(text: str, tmp_path: Path) -> None:
    path = tmp_path / "finetune.yaml"
    path.write_text(text)
    with pytest.raises(TrainerError) as caught:
        local.read(path)
    assert caught.value.exit_code is ExitCode.BAD_CONFIG
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("gpus", "device", "allow_cpu", "expected"),
    [
        (1, "null", "", pytest.raises(TrainerError, match="no NVIDIA device")),
        (1, "nvidiactl", "", pytest.raises(TrainerError, match="no NVIDIA device")),
        (1, "nvidia0", "", nullcontext()),
        (1, "dxg", "", nullcontext()),
        (1, "null", "1", nullcontext()),
        (0, "null", "", nullcontext()),
    ],
)
def test_the_local_command_refuses_a_run_for_a_gpu_that_is_not_there_before_it_reads_data(  # noqa: PLR0917
    gpus: int, device: str, allow_cpu: str, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(names.ENV_ALLOW_CPU, allow_cpu)
    (tmp_path / device).touch()
    spec = LoRAFineTuneSpec.model_validate(changed({"compute.gpus": gpus}))
    with expected:
        local.check_gpu(spec, tmp_path)


@pytest.mark.parametrize(("missed", "code"), [(None, 0), ("test loss 2.0 is above gate.maxTestLoss 1", 1)])
def test_a_missed_gate_shows_in_the_exit_code(
    missed: str | None, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "finetune.yaml"
    spec = changed({"compute": {"gpus": 0}})
    run = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "triage"}, "spec": spec}
    path.write_text(json.dumps(run))
    report = Report(stage="prepare", run_id="0" * 32, adopted=True, gate_failed=missed)
    monkeypatch.setattr(local, "carry_out", lambda order: report)
    assert local.run_file(path) == code


def test_the_local_command_says_that_a_sweep_needs_the_operator(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(json.dumps({"apiVersion": names.API_VERSION, "kind": names.SWEEP_KIND, "metadata": {"name": "x"}}))
    with pytest.raises(TrainerError, match="has a LoRASweep and no LoRAFineTune") as caught:
        local.read(path)
    assert "operator" in str(caught.value.hint)


def test_a_run_in_a_list_is_found_too(tmp_path: Path) -> None:
    path = tmp_path / "finetune.yaml"
    run = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "triage"}, "spec": BASE}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Secret"}, run]}))
    assert local.read(path)[0] == "triage"


def test_of_two_runs_in_a_file_none_is_left_out_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "finetune.yaml"
    run = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "triage"}, "spec": BASE}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [run, run]}))
    with pytest.raises(TrainerError, match="has 2 of kind LoRAFineTune"):
        local.read(path)
