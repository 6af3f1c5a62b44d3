"""A real S3 server for the prepare stage, and one process that reads the data of all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.seaweedfs import s3_environment, s3_server
from support.shared_data_process import shared_data_process

__all__ = ["s3_environment", "s3_server"]


@pytest.fixture(autouse=True)
def one_data_process() -> Iterator[None]:
    with shared_data_process():
        yield
