"""An HTTP proxy in front of a real S3 server that cuts, delays, truncates or refuses chosen requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

import aiohttp
from aiohttp import web
from yarl import URL

_HOP_HEADERS = ("connection", "keep-alive", "transfer-encoding", "expect", "content-encoding")


class Action(Enum):
    """What happens to a chosen request."""

    CUT_BEFORE = auto()
    """The connection breaks before the server sees anything."""
    CUT_AFTER = auto()
    """The server does it, the answer is lost."""
    TRUNCATE = auto()
    """Half of the answer's body arrives, then the connection breaks."""
    FLIP = auto()
    """One byte of the answer's body is wrong."""
    SLOW_DOWN = auto()
    """503 SlowDown instead of an answer."""
    INTERNAL_ERROR = auto()
    """500 InternalError instead of an answer."""
    EXPIRED_TOKEN = auto()
    """400 ExpiredToken instead of an answer."""
    UNKNOWN_KEY = auto()
    """403 InvalidAccessKeyId instead of an answer."""
    ACCESS_DENIED = auto()
    """403 AccessDenied instead of an answer."""
    CLOCK_SKEWED = auto()
    """403 RequestTimeTooSkewed instead of an answer."""
    QUOTA_EXCEEDED = auto()
    """403 QuotaExceeded instead of an answer."""


_REFUSALS = {
    Action.SLOW_DOWN: (503, "SlowDown"),
    Action.INTERNAL_ERROR: (500, "InternalError"),
    Action.EXPIRED_TOKEN: (400, "ExpiredToken"),
    Action.UNKNOWN_KEY: (403, "InvalidAccessKeyId"),
    Action.ACCESS_DENIED: (403, "AccessDenied"),
    Action.CLOCK_SKEWED: (403, "RequestTimeTooSkewed"),
    Action.QUOTA_EXCEEDED: (403, "QuotaExceeded"),
}


@dataclass(frozen=True)
class Seen:
    """A request, as plans choose by it: `writes` for those that change something."""

    method: str
    path: str
    query: str

    @property
    def writes(self) -> bool:
        """Whether the request changes what the server keeps."""
        return self.method in ("PUT", "POST", "DELETE")


@dataclass
class Plan:
    """From the `first` chosen request on (counted from 1), `count` requests get the action; None: all of them."""

    action: Action
    first: int = 1
    count: int | None = 1
    chosen: Callable[[Seen], bool] = lambda seen: seen.writes
    matched: int = 0
    applied: int = 0

    def action_for(self, seen: Seen) -> Action | None:
        """The action for a request, if it is its turn."""
        if not self.chosen(seen):
            return None
        self.matched += 1
        if self.matched < self.first or (self.count is not None and self.applied >= self.count):
            return None
        self.applied += 1
        return self.action


@dataclass
class FaultProxy:
    """A running proxy. Set `plan` between calls; `requests` is what came through."""

    target: str
    endpoint: str = ""
    plan: Plan | None = None
    requests: list[Seen] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on, or not."""
        seen = Seen(request.method, request.path, request.query_string)
        self.requests.append(seen)
        body = await request.read()
        action = self.plan.action_for(seen) if self.plan is not None else None
        if action is Action.CUT_BEFORE:
            return _cut(request)
        if action in _REFUSALS:
            status, code = _REFUSALS[action]
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>"
            return web.Response(status=status, text=text, content_type="application/xml")
        status, headers, content = await self._forward(request, body)
        if action is Action.CUT_AFTER:
            return _cut(request)
        if action is Action.FLIP:
            content = bytes([content[0] ^ 1]) + content[1:]
        return await _answer(
            request, status, headers, content, cut_at=len(content) // 2 if action is Action.TRUNCATE else None
        )

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in ("expect", "connection")
        }
        headers.pop("Transfer-Encoding", None)
        url = URL(self.target + request.raw_path, encoded=True)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer,
        ):
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_HEADERS}
            return answer.status, kept, await answer.read()


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _answer(
    request: web.Request, status: int, headers: dict[str, str], content: bytes, *, cut_at: int | None
) -> web.StreamResponse:
    answer = web.StreamResponse(status=status, headers=headers)
    if request.method != "HEAD":
        answer.content_length = len(content)
    await answer.prepare(request)
    if request.method == "HEAD":
        return answer
    await answer.write(content if cut_at is None else content[:cut_at])
    if cut_at is not None:
        return _cut(request)
    await answer.write_eof()
    return answer


@contextmanager
def fault_proxy(target: str) -> Iterator[FaultProxy]:
    """A proxy on a free loopback port, served from a thread while the context is open."""
    proxy = FaultProxy(target)
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    ready = threading.Event()

    async def serve() -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        proxy.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="fault-proxy", daemon=True)
    thread.start()
    if not ready.wait(30):
        raise RuntimeError("the fault proxy did not start")
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
