"""A real S3 server, a proxy that breaks things in front of it, and stores on both: the rig of the store's tests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from lora_trainer.store.s3 import S3Store
from support.fault_proxy import FaultProxy, fault_proxy
from support.seaweedfs import SeaweedFS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: The smallest part S3 allows, so that a small test file already goes up in parts.
PART = 5 * 1024 * 1024


@dataclass(frozen=True)
class Rig:
    """A server, a prefix of the test's own, a proxy in front that passes everything on until it has a plan."""

    server: SeaweedFS
    proxy: FaultProxy
    client: S3Client
    proxied_client: S3Client
    bucket: str
    prefix: str = ""

    def uri(self, key: str) -> str:
        """The address of a key below the test's prefix."""
        return f"s3://{self.bucket}/{self.prefix}/{key}"

    @property
    def store(self) -> S3Store:
        """A store without faults."""
        return S3Store(20, make_client=lambda: self.client, part_bytes=PART)

    def behind_proxy(self, *, budget_seconds: float = 20) -> S3Store:
        """A store that meets the faults. With no budget it ends at the first one, like a process that is killed."""
        return S3Store(budget_seconds, make_client=lambda: self.proxied_client, part_bytes=PART)

    def unfinished_uploads(self) -> list[str]:
        """Keys of multipart uploads that nobody completed or aborted."""
        answer = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=f"{self.prefix}/")
        return [upload["Key"] for upload in answer.get("Uploads", [])]


@pytest.fixture(scope="session")
def session_rig(s3_server: SeaweedFS) -> Iterator[Rig]:
    """What tests share: making clients and buckets takes longer than most tests."""
    with fault_proxy(s3_server.endpoint) as proxy:
        proxied = s3_server.client(endpoint=proxy.endpoint)
        yield Rig(s3_server, proxy, s3_server.client(), proxied, s3_server.bucket())


@pytest.fixture
def rig(session_rig: Rig) -> Rig:
    """The rig of one test."""
    session_rig.proxy.plan = None
    return replace(session_rig, prefix=uuid.uuid4().hex[:12])
