"""One process reads the data of all tests of a session: a fresh one imports for seconds, each time."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lora_trainer.prepare import data_process
from lora_trainer.prepare.data_process import DataProcess

_running = data_process.running


@contextmanager
def shared_data_process() -> Iterator[None]:
    """Let `prepare` ask the one process that stays until the session ends, for the time of the block."""

    @contextmanager
    def running(_folder: Path, **_limits: Any) -> Iterator[DataProcess]:
        yield _started()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_process, "running", running)
        yield


@cache
def _started() -> DataProcess:
    stack = ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="data-process-"))
    return stack.enter_context(_running(Path(folder)))
