"""Connections of callers whom nobody has checked end by themselves, and never keep others out."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
from aiohttp import web

from lora_operator.handlers import http_server
from lora_operator.handlers.http_server import ConnectionLimits, HttpServer

ROOMY = ConnectionLimits(in_all=8, per_address=8)
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


@asynccontextmanager
async def serving(limits: ConnectionLimits, context: ssl.SSLContext | None = None) -> AsyncIterator[HttpServer]:
    application = web.Application()
    application.router.add_get("/", answer)
    server = await HttpServer.start(application, host="127.0.0.1", port=0, limits=limits, context=context)
    try:
        yield server
    finally:
        await server.close()


async def answer(_: web.Request) -> web.Response:
    return web.Response(text="ok")


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connected(server: HttpServer, address: str = "127.0.0.1") -> Stream:
    """A TCP connection from one of the loopback addresses, once the server has accepted it."""
    known = list(server.listener.connections)
    stream = await asyncio.open_connection(*server.listener.getsockname(), local_addr=(address, 0))
    await eventually(lambda: server.listener.connections != known)
    return stream


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)


async def is_closed(stream: Stream) -> bool:
    """Whether the server ends a connection within a few seconds; what it sends before is of no interest."""
    try:
        async with asyncio.timeout(5):
            await stream[0].read()
    except (TimeoutError, ConnectionError) as error:
        return isinstance(error, ConnectionError)
    return True


async def is_answered(stream: Stream) -> bool:
    stream[1].write(REQUEST)
    async with asyncio.timeout(5):
        return (await stream[0].read(15)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n"])
async def test_a_handshake_that_never_ends_is_ended(
    server_context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http_server, "_HANDSHAKE_SECONDS", 0.1)
    async with serving(ROOMY, server_context) as server:
        stream = await connected(server)
        stream[1].write(sent)
        assert await is_closed(stream)
        assert server.listener.connections == []


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost", REQUEST, REQUEST + b"GET"])
async def test_headers_that_never_end_and_an_idle_connection_are_ended(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http_server, "_IDLE_SECONDS", 0.1)
    async with serving(ROOMY) as server:
        stream = await connected(server)
        stream[1].write(sent)
        assert await is_closed(stream)
        assert server.listener.connections == []


async def test_one_connection_too_many_of_an_address_takes_the_place_of_its_oldest() -> None:
    async with serving(ConnectionLimits(in_all=8, per_address=2)) as server:
        first, second = await connected(server), await connected(server)
        other = await connected(server, "127.0.0.2")
        third = await connected(server)

        assert await is_closed(first)
        for stream in (second, other, third):
            assert await is_answered(stream)


async def test_one_connection_too_many_in_all_takes_the_place_of_one_whose_address_has_most() -> None:
    async with serving(ConnectionLimits(in_all=3, per_address=8)) as server:
        probe = await connected(server, "127.0.0.2")
        crowd = [await connected(server) for _ in range(6)]

        for stream in crowd[:4]:
            assert await is_closed(stream)
        for stream in (probe, *crowd[4:]):
            assert await is_answered(stream)
        assert len(server.listener.connections) == 3


async def test_a_connection_ends_after_its_lifetime_whatever_it_does() -> None:
    async with serving(ConnectionLimits(in_all=8, per_address=8, lifetime=0.2)) as server:
        stream = await connected(server)
        assert await is_answered(stream)
        assert await is_closed(stream)
        assert server.listener.connections == []


async def test_what_was_closed_counts_no_more() -> None:
    async with serving(ConnectionLimits(in_all=2, per_address=2)) as server:
        for _ in range(5):
            stream = await connected(server)
            assert await is_answered(stream)
            stream[1].close()
            await eventually(lambda: not server.listener.connections)


async def test_what_is_not_http_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(ROOMY) as server:
        stream = await connected(server)
        stream[1].write(b"GET / HTTP/9\r\n: x\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await stream[0].read(12)) == b"HTTP/1.0 400"
    assert caplog.records == []
