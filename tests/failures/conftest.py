"""A cluster of two nodes for each file: one of them ends with a dead node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.tiny_cluster import TinyCluster, tiny_cluster


@pytest.fixture(scope="module")
def place() -> Iterator[TinyCluster]:
    """The cluster with S3 server and operator."""
    with tiny_cluster("failures") as started:
        yield started
