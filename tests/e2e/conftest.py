"""One cluster, one finished run: what several tests look at is made once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lora_contract.status import LoRAFineTuneStatus
from lora_demo.run import Run, is_complete
from support import e2e
from support.e2e import Rig


@dataclass(frozen=True)
class Finished:
    """A run that ended well, and its status then."""

    run: Run
    status: LoRAFineTuneStatus


@pytest.fixture(scope="session")
def rig() -> Iterator[Rig]:
    """The cluster with S3 server, model, data and operator."""
    with e2e.rig() as started:
        yield started


@pytest.fixture(scope="session")
def finished(rig: Rig) -> Finished:
    """An undisturbed run of the small recipe."""
    run = rig.create("undisturbed")
    status = run.wait_finished(e2e.TRAINED_SECONDS)
    assert is_complete(status), status.error
    return Finished(run, status)
