"""Callers without a token that connect and say nothing: they are bounded in number and time, and others are heard."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from kubernetes import client

from support.api_server import eventually
from support.operator import Operator, StartOperator
from support.progress_endpoint import Endpoint, serve

CROWD = 1500
#: Growth of the operator in MiB. Python before 3.13 frees a connection ended amid its handshake some time later.
MOST_GROWTH = 110
#: The first bytes of a TLS handshake that promises more.
HALF_OPEN = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@pytest.fixture
def operators(start_operator: StartOperator) -> list[Operator]:
    """The operators that the test starts."""
    return []


@pytest.fixture
def endpoint(
    api: client.ApiClient, start_operator: StartOperator, operators: list[Operator], namespace: str, tmp_path: Path
) -> Endpoint:
    def start(**settings: str) -> Operator:
        operators.append(start_operator(**settings))
        return operators[-1]

    return serve(start, api, namespace, tmp_path)


@pytest.fixture
def crowd() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(crowd: ExitStack, port: int, count: int, *, addresses: int, sends: bytes) -> list[socket.socket]:
    """Connections from so many loopback addresses, each with the beginning of something that never ends."""
    opened = []
    for number in range(count):
        source = (f"127.0.0.{2 + number % addresses}", 0)
        opened.append(crowd.enter_context(socket.create_connection(("127.0.0.1", port), 10, source_address=source)))
        opened[-1].sendall(sends)
    return opened


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(4096) != b""
    except OSError as error:
        return error.errno == errno.EAGAIN


def resident_mib(pid: int) -> int:
    return psutil.Process(pid).memory_info().rss >> 20


@pytest.mark.parametrize("addresses", [1, 100])
def test_half_open_tls_connections_cost_little_and_are_gone_within_seconds(
    endpoint: Endpoint, operators: list[Operator], crowd: ExitStack, addresses: int
) -> None:
    (operator,) = operators
    before = resident_mib(operator.pid)

    held = connect(crowd, int(endpoint.url.rpartition(":")[2]), CROWD, addresses=addresses, sends=HALF_OPEN)
    since = time.monotonic()

    assert operator.get("/healthz")[0] == 200
    assert endpoint.post(endpoint.address("triage"), None)[0] == 401, "others are answered"
    assert sum(map(is_open, held)) <= 256
    assert resident_mib(operator.pid) - before <= MOST_GROWTH
    eventually("all are gone", lambda: not any(map(is_open, held)), seconds=20)
    assert time.monotonic() - since <= 15


@pytest.mark.parametrize("sends", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_idle_connections_of_the_health_port_keep_no_probe_out(
    endpoint: Endpoint, operators: list[Operator], crowd: ExitStack, sends: bytes
) -> None:
    (operator,) = operators
    held = connect(crowd, operator.health_port, 300, addresses=50, sends=sends)

    for path in ("/healthz", "/readyz", "/metrics"):
        assert operator.get(path)[0] == 200
    assert sum(map(is_open, held)) <= 64
    eventually("all are gone", lambda: not any(map(is_open, held)), seconds=20)


def test_a_token_that_is_no_text_of_http_is_refused(endpoint: Endpoint) -> None:
    code, message = endpoint.post(endpoint.address("triage"), "schlüssel")
    assert (code, message) == (401, "send the pod's projected token as a bearer token")
