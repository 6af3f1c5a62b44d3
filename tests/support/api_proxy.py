"""A proxy in front of a real API server that counts the operator's writes and strikes at a chosen one."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import aiohttp
from aiohttp import web
from yarl import URL

from lora_cluster.control_plane import ControlPlane

_SESSION = web.AppKey("session", aiohttp.ClientSession)
_NOT_COUNTED = ("/events", "/leases", "/tokenreviews", "/networkpolicies")
_HOP_HEADERS = ("connection", "keep-alive", "transfer-encoding", "content-encoding", "content-length")


@dataclass
class ApiProxy:
    """A running proxy. `writes` are the changes that the operator asked for, Events, Leases and TokenReviews
    apart, and the NetworkPolicies, of which there is one a namespace.

    `strike(n, when, how)` calls `how` at the n-th write, before the API server sees it, or after it did it and
    before the operator hears of it.
    """

    target: str
    authority: str
    url: str = ""
    writes: list[str] = field(default_factory=list)
    struck: threading.Event = field(default_factory=threading.Event)
    _holds: Callable[[str, str], bool] = lambda path, body: False
    _let_go: threading.Event = field(default_factory=threading.Event)
    _at: int = 0
    _when: Literal["before", "after"] = "before"
    _how: Callable[[], None] = lambda: None

    def strike(self, number: int, when: Literal["before", "after"], how: Callable[[], None]) -> None:
        """Set what happens at a write, counted from 1 from now on."""
        self.forget()
        self._at, self._when, self._how = number, when, how

    @contextmanager
    def holding(self, holds: Callable[[str, str], bool]) -> Iterator[None]:
        """Keep the writes back, by their path and body, that `holds` says, until the context ends."""
        self._let_go.clear()
        self._holds = holds
        try:
            yield
        finally:
            self._holds = lambda path, body: False
            self._let_go.set()

    def forget(self) -> None:
        """Count from the beginning."""
        self.writes.clear()
        self.struck.clear()
        self._at = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on, or not."""
        try:
            return await self._pass_on(request)
        except (ConnectionError, aiohttp.ClientError):  # one side is gone, as is to be expected here
            return web.Response(status=502)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        counted = request.method != "GET" and not request.path.endswith(_NOT_COUNTED)
        if counted:
            self.writes.append(f"{request.method} {request.path}")
        mine = counted and len(self.writes) == self._at
        if mine and self._when == "before":
            return self._fall(request)
        url = URL(self.target + request.raw_path, encoded=True)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in ("host", "connection")}
        body = await request.read() or None
        if counted and self._holds(request.path, (body or b"").decode()):
            await asyncio.to_thread(self._let_go.wait)
        async with request.app[_SESSION].request(request.method, url, headers=headers, data=body) as answer:
            if mine:
                await answer.read()
                return self._fall(request)
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP_HEADERS}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    def _fall(self, request: web.Request) -> web.StreamResponse:
        self._how()
        self.struck.set()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


@contextmanager
def api_proxy(plane: ControlPlane) -> Iterator[ApiProxy]:
    """A proxy on a free loopback port, served from a thread while the context is open."""
    proxy = ApiProxy(plane.url, str(plane.directory / "pki" / "ca.crt"))
    started = threading.Event()
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=proxy.authority), limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            application = web.Application(client_max_size=2**24)
            application[_SESSION] = session
            application.router.add_route("*", "/{path:.*}", proxy.handle)
            runner = web.AppRunner(application, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ends.append((asyncio.get_running_loop(), stop))
            started.set()
            await stop.wait()
            await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield proxy
    finally:
        for loop, stop in ends:
            loop.call_soon_threadsafe(stop.set)
        thread.join(10)
