"""A small model learns to be polite from pairs of answers with the same facts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lora_contract.exit_codes import ExitCode
from lora_contract.layout import MODEL_CARD
from lora_demo import model, up
from lora_demo.platform import manifest as example
from support.local_runs import LocalRun


@pytest.mark.learning
@pytest.mark.timeout(1800)
def test_a_small_model_learns_to_prefer_polite_answers(tmp_path: Path) -> None:
    # The example, its data and the model that it names, on this machine
    manifest = yaml.safe_load(example("preference.yaml").read_text())
    spec = manifest["spec"]
    spec["model"]["source"] = f"file://{model.ensure()}"
    spec["dataset"]["uri"] = f"file://{tmp_path}/preference.jsonl"
    spec["output"]["uri"] = f"file://{tmp_path}/out"
    spec["compute"] = {"gpus": 0}
    del spec["storage"]
    manifest["metadata"] = {"name": "tiny"}
    up.data_generator("preference_data.py").write(tmp_path / "preference.jsonl")
    (tmp_path / "finetune.yaml").write_text(yaml.safe_dump(manifest))
    # An adapter is trained
    run = LocalRun(tmp_path)
    ended = run.run(seconds=1800)
    # It prefers polite answers of held-out pairs, where the base model hardly knows which is which
    assert ended.code == ExitCode.DONE, ended.output
    final = run.final()
    assert 0.3 < float(final["basePreferences"]["accuracy"]) < 0.7
    assert float(final["preferences"]["accuracy"]) > 0.95
    assert "direct preference optimisation" in (run.published / MODEL_CARD).read_text()
