"""One process reads the data of all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.shared_data_process import shared_data_process


@pytest.fixture(autouse=True)
def one_data_process() -> Iterator[None]:
    with shared_data_process():
        yield
