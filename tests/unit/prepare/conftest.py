"""One process reads the data of all tests here: a fresh one imports for seconds, each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lora_trainer.prepare import data_process
from lora_trainer.prepare.data_process import DataProcess


@pytest.fixture(scope="session")
def shared_data_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataProcess]:
    with data_process.running(tmp_path_factory.mktemp("data-process")) as process:
        yield process


@pytest.fixture(autouse=True)
def data_process_of_all_tests(monkeypatch: pytest.MonkeyPatch, shared_data_process: DataProcess) -> None:
    @contextmanager
    def running(_folder: Path, **_limits: Any) -> Iterator[DataProcess]:
        yield shared_data_process

    monkeypatch.setattr(data_process, "running", running)
