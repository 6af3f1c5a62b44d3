"""A real S3 server for tests: SeaweedFS as a process on free loopback ports, gone when the test process is gone."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lora_cluster.api_server import free_ports
from lora_contract.names import ENV_S3_ENDPOINT
from lora_demo.seaweedfs import Identity

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
_READY_SECONDS = 60


ADMIN = Identity("admin", "AKIDADMINADMINADMIN1", "admin-secret-key-of-the-tests-0001", ("Admin",))
#: Known to the server, allowed nothing that a test stores.
STRANGER = Identity("stranger", "AKIDSTRANGERSTRANGE1", "stranger-secret-key-of-the-tests-1", ("Read:nothing",))

#: A session is not made for several threads at a time; the clients that it makes are.
_session_lock = threading.Lock()


@cache
def _session() -> boto3.Session:
    """One session for all clients: each new one would read the descriptions of S3's API anew."""
    return boto3.Session()


@dataclass(frozen=True)
class SeaweedFS:
    """A running server."""

    endpoint: str
    process: subprocess.Popen[bytes]

    def environment(self, identity: Identity = ADMIN, *, endpoint: str | None = None) -> dict[str, str]:
        """The variables that a process of ours needs to use this server."""
        return {
            ENV_S3_ENDPOINT: endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": identity.access_key,
            "AWS_SECRET_ACCESS_KEY": identity.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, identity: Identity = ADMIN, *, endpoint: str | None = None) -> S3Client:
        """A boto3 client of this server: one try a call, short time-outs."""
        config = Config(
            connect_timeout=5,
            read_timeout=10,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
        )
        with _session_lock:
            return _session().client(
                "s3",
                endpoint_url=endpoint or self.endpoint,
                aws_access_key_id=identity.access_key,
                aws_secret_access_key=identity.secret_key,
                region_name="us-east-1",
                config=config,
            )

    def bucket(self, name: str | None = None) -> str:
        """Make a bucket, under a new name unless one is given."""
        name = name or f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name


@contextmanager
def seaweedfs(folder: Path, identities: tuple[Identity, ...] = (ADMIN, STRANGER)) -> Iterator[SeaweedFS]:
    """A server that keeps its data in `folder` and is ready; killed at the end, also when this process crashes."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "identities.json"
    config.write_text(json.dumps({"identities": [identity.configured for identity in identities]}))
    ports = free_ports(2 * len(_PORTS))
    http, grpc = ports[: len(_PORTS)], ports[len(_PORTS) :]
    log = folder / "weed.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            _command(folder, config, http, grpc),
            stdout=sink,
            stderr=sink,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread of ours runs yet
        )
    server = SeaweedFS(f"http://127.0.0.1:{http[-1]}", process)
    try:
        _wait_until_ready(server, log)
        yield server
    finally:
        process.kill()
        process.wait()


def _command(folder: Path, config: Path, http: list[int], grpc: list[int]) -> list[str]:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    ports = [f"-{name}={port}" for name, port in zip(_PORTS, http, strict=True)]
    ports += [f"-{name}.grpc={port}" for name, port in zip(_PORTS, grpc, strict=True)]
    return [
        str(Path(sys.executable).parent / "weed"),
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *ports,
        f"-filer.localSocket={folder}/filer.sock",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=10000",  # each bucket takes several
        "-s3",
        f"-s3.config={config}",
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]


def _die_with_parent() -> None:
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)


def _wait_until_ready(server: SeaweedFS, log: Path) -> None:
    client = server.client()
    name = f"ready-{uuid.uuid4().hex[:8]}"
    deadline = time.monotonic() + _READY_SECONDS
    steps: list[Callable[[], object]] = [
        lambda: client.create_bucket(Bucket=name),
        lambda: client.put_object(Bucket=name, Key="probe", Body=b"probe"),
        lambda: client.delete_object(Bucket=name, Key="probe"),
        lambda: client.delete_bucket(Bucket=name),
    ]
    while steps:
        try:
            steps[0]()
            steps.pop(0)
        except (BotoCoreError, ClientError) as error:
            if server.process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"SeaweedFS is not ready: {error}\n{tail}") from error
            time.sleep(0.05)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """One server for the whole test session; give each test a bucket of its own."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def s3_environment(s3_server: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> SeaweedFS:
    """The server, with the variables of this process set so that `store.from_environment` uses it."""
    for name in ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return s3_server
