"""`lora-trainer run` as a process on a small random model, with faults; the same on a CPU and on a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lora_contract import names
from lora_contract.layout import ADAPTER_WEIGHTS, METRICS, REPORT
from support import forked
from support.python_path import python_path
from support.tiny_models import save_tiny
from support.train_runs import number_rows, spec_of

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
        done = subprocess.run(
            [sys.executable, "-m", "support.faulty_trainer", *self._arguments],
            env={**os.environ, **_variables(fault)},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Ended(done.returncode, done.stdout + done.stderr)

    def run_forked(self, *, seconds: float = 300, **fault: Any) -> Ended:
        """Run the command once on a CPU, in a process that need not import torch (see `support.forked`)."""
        stdout, stderr = self.folder / "stdout", self.folder / "stderr"
        for path in (stdout, stderr):
            path.write_text("")
        process = forked.start(self._arguments, _variables(fault), stdout=stdout, stderr=stderr)
        process.join(seconds)
        assert process.exitcode is not None, stderr.read_text()[-3000:]
        return Ended(process.exitcode, stdout.read_text() + stderr.read_text())

    @property
    def _arguments(self) -> list[str]:
        return ["run", str(self.folder / "finetune.yaml")]

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


def _variables(fault: dict[str, Any]) -> dict[str, str]:
    return {"PYTHONPATH": python_path(), "FAULT": json.dumps(fault), names.ENV_CPU_FLOAT32: "1"}


def local_run(folder: Path, *, gpus: int, shape: dict[str, Any] | None = None, **changes: Any) -> LocalRun:
    """Write model, data and YAML; `shape` changes the model's configuration, `changes` the spec: `training__seed=1`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tiny(folder / "model", **(shape or {}))
    (folder / "data.jsonl").write_text(number_rows(120))
    spec = spec_of(
        {
            "model.source": f"file://{folder}/model",
            "dataset.uri": f"file://{folder}/data.jsonl",
            "output.uri": f"file://{folder}/out",
            "compute.gpus": gpus,
        },
        changes,
    )
    manifest = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": NAME}, "spec": spec}
    (folder / "finetune.yaml").write_text(yaml.safe_dump(manifest))
    return LocalRun(folder)
