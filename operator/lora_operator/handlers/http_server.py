"""HTTP served to callers whom nobody has checked: how many connections they get, and for how long.

asyncio and aiohttp bound neither. Connections are counted where they are accepted, before TLS and before a byte is
read. One too many is never refused; an older one has to go for it, so that a caller with a fresh connection (the
kubelet's probe, a pod's report) is always heard.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

_BACKLOG = 128
#: asyncio reads TLS into a buffer of its own for each connection: 256 KiB, which is four fifths of what one costs.
#: A TLS record holds no more than this. Of effect for all connections of the process that are made from now on.
_TLS_BUFFER_BYTES = 16384
#: Of the TLS handshake; of a request's line and headers, counted from the handshake; of a pause between requests.
_HANDSHAKE_SECONDS = 10.0
_IDLE_SECONDS = 10.0
#: What is left of a body that nobody asked for is read no longer than this, and a farewell waited for no longer.
_LINGER_SECONDS = 5.0
_SHUTDOWN_SECONDS = 5.0


@dataclass(frozen=True)
class ConnectionLimits:
    """Connections of one port at a time, in all and from one address, and the seconds after which each is ended."""

    in_all: int
    per_address: int
    lifetime: float = 120.0


class HttpServer:
    """One port that is served until it is closed."""

    def __init__(self, runner: web.AppRunner, listener: Listener, server: asyncio.Server) -> None:
        self._runner = runner
        self._server = server
        self.listener = listener

    @classmethod
    async def start(
        cls,
        application: web.Application,
        *,
        host: str,
        port: int,
        limits: ConnectionLimits,
        context: ssl.SSLContext | None = None,
    ) -> Self:
        """Listen on a port, with TLS where there is a context; an empty host stands for every address.

        Raises:
            OSError: the port is taken, or the address is not one of this machine.
        """
        runner = web.AppRunner(
            application,
            access_log=None,
            logger=_logger(),
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=_LINGER_SECONDS,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        if context is not None:
            SSLProtocol.max_size = _TLS_BUFFER_BYTES
        listener = Listener(_bound(host, port), limits)
        server = await asyncio.get_running_loop().create_server(
            cast("web.Server", runner.server),  # there since setup()
            sock=listener,
            ssl=context,
            backlog=_BACKLOG,
            ssl_handshake_timeout=None if context is None else _HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=None if context is None else _SHUTDOWN_SECONDS,
        )
        return cls(runner, listener, server)

    async def close(self) -> None:
        """Listen no more, let requests under way end, close all connections."""
        self._server.close()
        await self._runner.cleanup()


class Listener(socket.socket):
    """A listening socket of an asyncio server that keeps count of what it accepted."""

    def __init__(self, bound: socket.socket, limits: ConnectionLimits) -> None:
        super().__init__(fileno=bound.detach())
        self._limits = limits
        #: Oldest first.
        self.connections: list[Connection] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and end an older one where there are too many."""
        plain, peer = super().accept()
        connection = Connection(plain, address=str(peer[0]), lifetime=self._limits.lifetime, peers=self.connections)
        if (crowded := self._crowded(connection.address)) is not None:
            next(each for each in self.connections if each.address == crowded).end()
        self.connections.append(connection)
        return connection, peer

    def _crowded(self, address: str) -> str | None:
        """Choose the address that has to give up its oldest connection for one more of `address`."""
        held = Counter(connection.address for connection in self.connections)
        if held[address] >= self._limits.per_address:
            return address
        return held.most_common(1)[0][0] if len(self.connections) >= self._limits.in_all else None


class Connection(socket.socket):
    """An accepted connection. It counts among its `peers` until asyncio closes it, at whatever end."""

    def __init__(self, plain: socket.socket, *, address: str, lifetime: float, peers: list[Connection]) -> None:
        super().__init__(fileno=plain.detach())
        self.address = address
        self._peers = peers
        self._end_of_life = asyncio.get_running_loop().call_later(lifetime, self.end)

    def end(self) -> None:
        """Shut the connection down: asyncio then reads an end of file and closes it, also amid a TLS handshake."""
        self._forget()
        with suppress(OSError):  # the peer was faster
            self.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._forget()
        super().close()

    def _forget(self) -> None:
        self._end_of_life.cancel()
        if self in self._peers:
            self._peers.remove(self)


def _logger() -> logging.Logger:
    """Leave out the stack trace that aiohttp logs for each request that is not HTTP: anybody can send such."""
    logger = logging.getLogger("aiohttp.server")
    logger.addFilter(_is_not_about_bad_http)
    return logger


def _is_not_about_bad_http(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _bound(host: str, port: int) -> socket.socket:
    both = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
