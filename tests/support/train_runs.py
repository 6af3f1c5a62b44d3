"""Runs the train stage as processes against a real S3, and lets a test break them at a step.

Each is forked from a server that has imported torch (`support.forked`), unless a test asks for a real start.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from lora_contract import names
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.layout import ADAPTER_WEIGHTS, METRICS, RunLayout
from lora_contract.order import Order
from lora_contract.report import Report, decode
from lora_trainer.store.s3 import S3Store
from support import forked
from support.python_path import python_path
from support.seaweedfs import SeaweedFS
from support.shared_data_process import shared_data_process
from support.specs import changed

STEPS = 12
#: Figures of metrics.jsonl that two equal runs do not share.
_MEASURED = ("seconds", "peak_memory_bytes")
#: Small enough that a step takes milliseconds, with dropout, evaluation and checkpoints at steps of their own.
SPEC: dict[str, Any] = {
    "model.id": "example/tiny",
    "model.revision": None,
    "training": {
        "maxSteps": STEPS,
        "effectiveBatchSize": 8,
        "microBatchSize": 4,
        "evalSteps": 3,
        "saveSteps": 4,
        "learningRate": 0.01,
        "maxLength": 96,
    },
    "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
    "evaluation": {"samples": 2, "maxNewTokens": 4},
    "compute": {"gpus": 0},
}


@dataclass
class Ended:
    """How a process ended."""

    code: int
    log: str
    report: Report | None


@dataclass
class Attempt:
    """A running train process."""

    process: ForkServerProcess | subprocess.Popen[bytes]
    log: Path
    message: Path

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        pid = self.process.pid
        assert pid is not None
        os.kill(pid, number)

    def wait_for(self, text: str, *, seconds: float = 200) -> None:
        """Return when the log holds a text."""
        deadline = time.monotonic() + seconds
        while text not in self.log.read_text():
            assert time.monotonic() < deadline, f"no {text!r} in {self.log.read_text()[-3000:]}"
            time.sleep(0.02)

    def end(self, *, seconds: float = 400) -> Ended:
        """Wait for the end."""
        if isinstance(self.process, subprocess.Popen):
            code = self.process.wait(seconds)
        else:
            self.process.join(seconds)
            assert self.process.exitcode is not None, self.log.read_text()[-3000:]
            code = self.process.exitcode
        text = self.message.read_text() if self.message.exists() else None
        return Ended(code, self.log.read_text(), decode(text))


@dataclass
class TrainRun:
    """One prepared run in a bucket of its own."""

    server: SeaweedFS
    folder: Path
    order: Order
    _attempts: int = field(default=0)

    @property
    def layout(self) -> RunLayout:
        """Where the run's objects lie."""
        assert self.order.run_id is not None
        return RunLayout(self.order.spec.output.uri, self.order.run_id)

    @property
    def store(self) -> S3Store:
        """The store of the test."""
        return S3Store(20, make_client=self.server.client)

    def start(
        self, *, real: bool = False, uid: str | None = None, variables: dict[str, str] | None = None, **fault: Any
    ) -> Attempt:
        """Start a train process that breaks as `fault` says (see `support.faulty_trainer`)."""
        self._attempts += 1
        place = self.folder / f"attempt-{self._attempts}"
        place.mkdir(parents=True)
        log, message = place / "log", place / "message"
        log.touch()
        order = self.order.model_copy(update={"scratch": str(place / "scratch"), "uid": uid or self.order.uid})
        environment = {
            **self.server.environment(),
            names.ENV_ORDER: order.model_dump_json(by_alias=True, exclude_none=True),
            names.ENV_TERMINATION_LOG: str(message),
            names.ENV_CPU_FLOAT32: "1",
            "FAULT": json.dumps(fault),
            **(variables or {}),
        }
        if real:
            return Attempt(self._command(environment, log), log, message)
        process = forked.start(["train"], environment, stdout=log, stderr=log)
        return Attempt(process, log, message)

    def _command(self, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as sink:
            return subprocess.Popen(
                [sys.executable, "-m", "support.faulty_trainer", "train"],
                env={**os.environ, **environment, "PYTHONPATH": python_path()},
                stdout=sink,
                stderr=sink,
            )

    def finish(self, **fault: Any) -> Ended:
        """Start a process and wait for its end."""
        return self.start(**fault).end()

    def adapter(self) -> bytes:
        """The published weights."""
        return self.store.read(f"{self.layout.published(self.order.name)}/{ADAPTER_WEIGHTS}")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of the published metrics.jsonl, without what depends on the machine: equal runs have equal ones."""
        return [{key: value for key, value in line.items() if key not in _MEASURED} for line in self.metric_lines()]

    def metric_lines(self) -> list[dict[str, Any]]:
        """The lines of the published metrics.jsonl."""
        text = self.store.read(f"{self.layout.published(self.order.name)}/{METRICS}").decode()
        return [json.loads(line) for line in text.splitlines()]

    def objects(self, below: str = "") -> list[str]:
        """Addresses below the output, or below a part of it."""
        return [info.uri for info in self.store.list(below or self.order.spec.output.uri.rstrip("/"))]


def spec_of(addresses: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The spec of a short run at addresses by path; `changes` like `training__maxSteps`: 5."""
    paths = {key.replace("__", "."): value for key, value in changes.items()}
    document = changed(copy.deepcopy(SPEC) | addresses | paths)
    document["model"] = {key: value for key, value in document["model"].items() if value is not None}
    return document


def number_rows(count: int) -> str:
    """A dataset as JSON lines: numbers, and an answer that follows from each."""
    numbers = random.Random(0).sample(range(10**6), count)
    rows = ({"prompt": f"say {value}", "completion": json.dumps({"last": value % 7})} for value in numbers)
    return "".join(json.dumps(row) + "\n" for row in rows)


def prepared_run(server: SeaweedFS, folder: Path, model: str, dataset: str, **changes: Any) -> TrainRun:
    """Prepare a run of the model and dataset at the given addresses; `changes` like `training__maxSteps=5`."""
    from lora_trainer.prepare.stage import prepare  # noqa: PLC0415 - slow to import

    bucket = server.bucket()
    addresses = {"model.source": model, "dataset.uri": dataset, "output.uri": f"s3://{bucket}/out"}
    spec = LoRAFineTuneSpec.model_validate(spec_of(addresses, changes))
    order = Order(stage="prepare", namespace="test", name="tiny", uid="uid-1", spec=spec, scratch=str(folder))
    with shared_data_process():
        report = prepare(order, S3Store(20, make_client=server.client))
    update = {"stage": "train", "run_id": report.run_id, "parent": report.parent, "plan": report.plan}
    return TrainRun(server, folder, order.model_copy(update=update))


def upload_folder(server: SeaweedFS, folder: Path, bucket: str, prefix: str) -> str:
    """Put the files of a folder into a bucket; their address."""
    for path in sorted(folder.iterdir()):
        with contextlib.closing(path.open("rb")) as stream:
            server.client().put_object(Bucket=bucket, Key=f"{prefix}/{path.name}", Body=stream.read())
    return f"s3://{bucket}/{prefix}"
