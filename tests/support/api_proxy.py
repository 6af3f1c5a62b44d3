"""A proxy in front of a real API server that counts the operator's writes and strikes at a chosen one."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
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
    before the operator hears of it. `created` are the paths and names of what the API server created for the operator.
    `disturb` may answer a request instead of the API server; `abort` cuts the connection. Watches last
    `watch_seconds`, if set.
    """

    target: str
    url: str = ""
    writes: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    struck: threading.Event = field(default_factory=threading.Event)
    disturb: Callable[[web.Request], web.Response | None] = lambda request: None
    watch_seconds: float | None = None
    _open: list[web.Request] = field(default_factory=list)
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

    def cut(self) -> None:
        """Cut every connection on which an answer is under way."""
        for request in list(self._open):
            abort(request)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on, or not."""
        if (instead := self.disturb(request)) is not None:
            return instead
        self._open.append(request)
        try:
            return await self._pass_on(request)
        except (ConnectionError, aiohttp.ClientError):  # one side is gone, as is to be expected here
            return web.Response(status=502)
        finally:
            self._open.remove(request)

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
            if request.method == "POST" and answer.status == 201:
                self.created.append(f"{request.path}/{json.loads(await answer.read())['metadata']['name']}")
            if mine:
                await answer.read()
                return self._fall(request)
            return await self._answer(request, answer)

    async def _answer(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP_HEADERS}
        response = web.StreamResponse(status=answer.status, headers=kept)
        await response.prepare(request)
        watches = "watch" in request.query
        try:
            async with asyncio.timeout(self.watch_seconds if watches else None):
                async for chunk in answer.content.iter_any() if watches else _whole(answer):
                    await response.write(chunk)
        except TimeoutError:
            abort(request)
            return response
        await response.write_eof()
        return response

    def _fall(self, request: web.Request) -> web.StreamResponse:
        self._how()
        self.struck.set()
        return abort(request)


async def _whole(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    yield await answer.read()


def abort(request: web.Request) -> web.Response:
    """Cut the connection of a request instead of an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@asynccontextmanager
async def upstream(authority: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Connections to an API server whose certificate an authority (a file) signed; several proxies may share them."""
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=authority), limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        yield session


@asynccontextmanager
async def serving(proxy: ApiProxy, session: aiohttp.ClientSession) -> AsyncIterator[None]:
    """Serve a proxy on a free loopback port while the context is open."""
    application = web.Application(client_max_size=2**24)
    application[_SESSION] = session
    application.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield
    finally:
        await runner.cleanup()


@contextmanager
def api_proxy(plane: ControlPlane) -> Iterator[ApiProxy]:
    """A proxy on a free loopback port, served from a thread while the context is open."""
    proxy = ApiProxy(plane.url)
    started = threading.Event()
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        async with upstream(str(plane.directory / "pki" / "ca.crt")) as session, serving(proxy, session):
            ends.append((asyncio.get_running_loop(), stop))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield proxy
    finally:
        for loop, stop in ends:
            loop.call_soon_threadsafe(stop.set)
        thread.join(10)
