"""The example that trains the quickstart's adapter on, with the model that both name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lora_contract.exit_codes import ExitCode
from lora_demo import model, up
from lora_demo.platform import manifest as example
from support.local_runs import Ended, LocalRun


def run(folder: Path, name: str, seed: int, parent: dict[str, Any]) -> tuple[LocalRun, Ended]:
    """Train what an example says, with data and output in a folder of this machine."""
    folder.mkdir()
    manifest = yaml.safe_load(example(name).read_text())
    spec = manifest["spec"] | parent
    spec["model"]["source"] = f"file://{model.ensure()}"
    spec["dataset"]["uri"] = f"file://{folder}/rows.jsonl"
    spec["output"]["uri"] = f"file://{folder}/out"
    spec["compute"] = {"gpus": 0}
    del spec["storage"]
    document = manifest | {"metadata": {"name": "tiny"}, "spec": spec}
    up.data_generator("triage_data.py").write(folder / "rows.jsonl", 400, seed)
    (folder / "finetune.yaml").write_text(yaml.safe_dump(document))
    local = LocalRun(folder)
    return local, local.run(seconds=900)


@pytest.mark.learning
def test_the_child_is_no_worse_than_its_parent_on_newer_notes(tmp_path: Path) -> None:
    parent, ended = run(tmp_path / "parent", "quickstart.yaml", 7, {})
    assert ended.code == ExitCode.DONE, ended.output

    goes_on = {"from": {"adapter": f"file://{parent.published}"}}
    child, ended = run(tmp_path / "child", "going-on.yaml", 8, goes_on)

    assert ended.code == ExitCode.DONE, ended.output
    final = child.final()
    assert float(final["testLoss"]) <= float(final["parentTestLoss"]) < float(final["baseTestLoss"])
