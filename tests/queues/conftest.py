"""One cluster for the session. It starts without Kueue, which comes later, as it may in a real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lora_demo.run import Run
from support import kueue, tiny_cluster
from support.tiny_cluster import TinyCluster, ready, wait_status


@pytest.fixture(scope="session")
def bare() -> Iterator[TinyCluster]:
    """The cluster before Kueue comes."""
    with tiny_cluster.tiny_cluster("queues") as place:
        yield place


@pytest.fixture(scope="session")
def early(bare: TinyCluster) -> Run:
    """A run with a queue name that waits because there is no Kueue."""
    if kueue.installed(bare):  # kept from an earlier session
        return Run(bare.kubernetes, bare.namespace, "early")
    run = bare.create("early", kueue.QUEUED | {"scheduling.priorityClass": kueue.HIGH})
    wait_status(run, "the word on Kueue", lambda status: "Kueue is not installed" in ready(status)[1])
    return run


@pytest.fixture(scope="session")
def place(bare: TinyCluster, early: Run) -> TinyCluster:
    """The cluster with Kueue and its queues; the operator was not restarted."""
    kueue.install(bare)
    return bare
