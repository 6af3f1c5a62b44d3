"""Tool calls in the answers of base and adapter are judged, from the rows to status, report and gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import MODEL_CARD
from lora_demo import model, up
from lora_demo.platform import manifest as example
from lora_trainer.command.local import GATE_MISSED
from support.local_runs import LocalRun, local_run


def _example() -> dict[str, Any]:
    """The spec of examples/tools.yaml."""
    return dict(yaml.safe_load(example("tools.yaml").read_text())["spec"])


def test_calls_are_counted_for_base_and_adapter_and_the_gate_is_held(tmp_path: Path) -> None:
    # Half of the rows offer tools, and an untrained model says anything but calls
    changes = {"chat__template": _example()["chat"]["template"], "training__maxLength": 2048, "training__maxSteps": 1}
    gate = {"samples": 8, "maxNewTokens": 4, "gate": {"minToolCalls": 0.9}}
    run = local_run(tmp_path, gpus=0, evaluation=gate, dataset__split={"test": 0.25}, **changes)
    plain = [[{"role": "user", "content": f"Say {n}"}, {"role": "assistant", "content": str(n)}] for n in range(20)]
    rows = [*up.data_generator("tools_data.py").rows(20, 1), *({"messages": messages} for messages in plain)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # It is trained for a step
    ended = run.run_forked()
    # The rows with tools are counted, and the gate is missed
    assert ended.code == GATE_MISSED, ended.output
    for key in ("toolCalls", "baseToolCalls"):
        counts = run.final()[key]
        assert 0 < counts["rows"] < 8
        assert counts["wanted"] == counts["missing"] > 0
    assert "quality gate missed: right tool calls" in ended.output
    # Report and model card tell what the status tells
    wanted = run.final()["toolCalls"]["wanted"]
    for text in (run.report(), (run.published / MODEL_CARD).read_text()):
        assert "Right tool calls, share of answers" in text
        assert f"Right names and arguments, of {wanted} calls" in text


@pytest.mark.learning
def test_a_small_model_learns_to_call_three_functions(tmp_path: Path) -> None:
    # The example, its data and the model that it names, on this machine
    spec = _example()
    spec["model"]["source"] = f"file://{model.ensure()}"
    spec["dataset"]["uri"] = f"file://{tmp_path}/tools.jsonl"
    spec["output"]["uri"] = f"file://{tmp_path}/out"
    spec["compute"] = {"gpus": 0}
    del spec["storage"]
    up.data_generator("tools_data.py").write(tmp_path / "tools.jsonl")
    manifest = {"apiVersion": "lora-operator.dev/v1alpha1", "kind": "LoRAFineTune", "metadata": {"name": "tiny"}}
    (tmp_path / "finetune.yaml").write_text(yaml.safe_dump({**manifest, "spec": spec}))
    # An adapter is trained
    run = LocalRun(tmp_path)
    ended = run.run(seconds=900)
    # Nearly all of its calls are right, where the base model made hardly any
    assert ended.code == ExitCode.DONE, ended.output
    assert float(run.final()["baseToolCalls"]["share"]) < 0.15
    assert float(run.final()["toolCalls"]["share"]) > 0.9
