"""A tiny model and a small dataset in S3, once for all tests of the train stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lora_contract.names import ENV_ALLOW_CPU
from support.groups import PLAIN
from support.seaweedfs import SeaweedFS, s3_server
from support.train_runs import Ended, TrainRun, number_rows, prepared_run, upload_folder

__all__ = ["s3_server"]

Runs = Callable[..., TrainRun]


@pytest.fixture(scope="session")
def sources(s3_server: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Addresses of the model and of the dataset."""
    from support.tiny_models import save_tiny  # noqa: PLC0415 - imports torch

    bucket = s3_server.bucket()
    model = upload_folder(s3_server, save_tiny(tmp_path_factory.mktemp("model")), bucket, "model")
    s3_server.client().put_object(Bucket=bucket, Key="data.jsonl", Body=number_rows(90).encode())
    return model, f"s3://{bucket}/data.jsonl"


@pytest.fixture(scope="session")
def unlike_rows(s3_server: SeaweedFS, sources: tuple[str, str]) -> str:
    """Address of rows that have nothing in common with the dataset: training makes the model worse at them."""
    bucket = sources[1].removeprefix("s3://").partition("/")[0]
    rows = [{"prompt": f"say {value}", "completion": "zwxk QVZ~ " * 6 + str(value)} for value in "abcdefgh"]
    body = "".join(json.dumps(row) + "\n" for row in rows).encode()
    s3_server.client().put_object(Bucket=bucket, Key="unlike.jsonl", Body=body)
    return f"s3://{bucket}/unlike.jsonl"


@pytest.fixture
def processes_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of a group compute on the CPU where a spec names GPUs."""
    monkeypatch.setenv(ENV_ALLOW_CPU, "1")


@pytest.fixture(scope="session")
def alone(
    s3_server: SeaweedFS, sources: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainRun, Ended]:
    """What one process makes of the run that groups are compared with."""
    run = prepared_run(s3_server, tmp_path_factory.mktemp("alone"), *sources, **PLAIN)
    return run, run.finish()


@pytest.fixture
def runs(s3_server: SeaweedFS, sources: tuple[str, str], tmp_path: Path) -> Runs:
    """Makes prepared runs."""
    made = 0

    def make(**changes: Any) -> TrainRun:
        nonlocal made
        made += 1
        folder = tmp_path / f"run-{made}"
        folder.mkdir()
        return prepared_run(s3_server, folder, *sources, **changes)

    return make
