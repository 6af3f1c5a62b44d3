"""A real S3 server for the prepare stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.prepare_bucket import Bucket
from support.seaweedfs import SeaweedFS, s3_environment, s3_server
from support.shared_data_process import shared_data_process

__all__ = ["s3_environment", "s3_server"]


@pytest.fixture(autouse=True)
def one_data_process() -> Iterator[None]:
    with shared_data_process():
        yield


@pytest.fixture
def bucket(s3_environment: SeaweedFS, tmp_path: Path) -> Bucket:
    return Bucket(s3_environment, tmp_path)
