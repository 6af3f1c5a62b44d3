"""`lora-trainer run` as a process on a small random model, with faults; the same on a CPU and on a GPU."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lora_contract import names
from lora_contract.layout import ADAPTER_WEIGHTS, METRICS, REPORT
from support.specs import changed
from support.tiny_models import save_tiny
from support.train_runs import SPEC

NAME = "tiny"


@dataclass(frozen=True)
class Ended:
    """How the command ended, and what it printed."""

    code: int
    output: str

    @property
    def steps(self) -> list[int]:
        """Steps that were made, in their order."""
        return [int(line.split()[1]) for line in self.output.splitlines() if line.startswith("step ")]


@dataclass(frozen=True)
class LocalRun:
    """A finetune.yaml with model, data and output in one folder."""

    folder: Path

    def run(self, *, seconds: float = 300, **fault: Any) -> Ended:
        """Run the command once; `fault` breaks it (see `support.faulty_trainer`)."""
        paths = os.pathsep.join(entry for entry in sys.path if entry)
        environment = {
            **os.environ, "PYTHONPATH": paths, "FAULT": json.dumps(fault), names.ENV_CPU_FLOAT32: "1",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "support.faulty_trainer", "run", str(self.folder / "finetune.yaml")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Ended(done.returncode, done.stdout + done.stderr)

    @property
    def published(self) -> Path:
        """The folder of the adapter."""
        (weights,) = (self.folder / "out").rglob(f"{NAME}*/**/{ADAPTER_WEIGHTS}")
        return weights.parent

    def final(self) -> dict[str, Any]:
        """The figures of the finished run, from the last line of the published metrics.jsonl."""
        lines = (self.published / METRICS).read_text().splitlines()
        return dict(json.loads(lines[-1])["final"])

    def report(self) -> str:
        """The published report."""
        return (self.published / REPORT).read_text()


def local_run(folder: Path, *, gpus: int, shape: dict[str, Any] | None = None, **changes: Any) -> LocalRun:
    """Write model, data and YAML; `shape` changes the model's configuration, `changes` the spec: `training__seed=1`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tiny(folder / "model", **(shape or {}))
    numbers = random.Random(0)
    rows = [
        {"prompt": f"say {value}", "completion": json.dumps({"last": value % 7})}
        for value in numbers.sample(range(10**6), 120)
    ]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = changed(
        SPEC
        | {
            "model.source": f"file://{folder}/model",
            "dataset.uri": f"file://{folder}/data.jsonl",
            "output.uri": f"file://{folder}/out",
            "compute.gpus": gpus,
        }
        | {key.replace("__", "."): value for key, value in changes.items()}
    )
    document["model"] = {key: value for key, value in document["model"].items() if value is not None}
    manifest = {"apiVersion": f"{names.GROUP}/{names.VERSION}", "kind": names.KIND, "metadata": {"name": NAME}}
    (folder / "finetune.yaml").write_text(yaml.safe_dump({**manifest, "spec": document}))
    return LocalRun(folder)
