"""The way to the group's store for processes of other pods: only those that hold the key of the group get through.

torch's TCPStore answers whoever reaches its port. So it listens on the loopback interface of the first pod alone, and
a gate stands before it. Caller and gate prove to each other that they hold the group's key by challenge and response
with HMAC-SHA-256 (the three-pass mutual authentication of ISO/IEC 9798-4), then the gate passes the store's bytes on:

    gate   -> caller   magic (8 bytes), id of the key (16), nonce of the gate (32)
    caller -> gate     nonce of the caller (32), HMAC(key, "caller" + both nonces) (32)
    gate   -> caller   HMAC(key, "gate" + both nonces) (32)

It keeps strangers out; it does not encrypt. Somebody who can change packets on their way between two pods is not kept
out, nor is a flood of connections: both are for a NetworkPolicy.

Works in a thread of its own. Imports nothing heavy.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, TypeVar

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_MAGIC = b"lora-g1\n"
_ID_BYTES, _NONCE_BYTES, _PROOF_BYTES, _SECRET_BYTES = 16, 32, hashlib.sha256().digest_size, 32
_CALLER, _GATE = b"caller", b"gate"
#: Seconds for the whole exchange of proofs.
_PROOF_SECONDS = 10.0
#: Connections that have proved nothing yet, of all addresses and of one; what comes on top is closed at once.
_MAX_UNPROVED, _MAX_UNPROVED_OF_ADDRESS = 256, 64
#: Refused callers that the log names: a flood must not fill it.
_MAX_LOGGED = 20
_BLOCK_BYTES = 1 << 16
_LOOPBACK = "127.0.0.1"


class Stranger(OSError):  # noqa: N818 - says who it is, not what failed
    """The other side did not prove that it holds the key of the group."""


@dataclass(frozen=True)
class GroupKey:
    """What the processes of one group share and nobody else has; a group that forms anew has a new one."""

    id: str = field(default_factory=lambda: secrets.token_hex(_ID_BYTES))
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(_SECRET_BYTES), repr=False)

    def proof(self, side: bytes, gate_nonce: bytes, caller_nonce: bytes) -> bytes:
        """Return what one side of a connection sends to show that it holds the key."""
        return hmac.digest(self.secret, side + gate_nonce + caller_nonce, "sha256")


class Keys(Protocol):
    """Where the first process of a group leaves the key for the others, and only for them."""

    def save(self, key: GroupKey) -> None:
        """Leave a key."""

    def secret_of(self, key_id: str) -> bytes | None:
        """Return the secret of a key, None where there is no such key."""


class Gate:
    """Stands before the store, in the first process of a group."""

    def __init__(self, key: GroupKey, *, port: int, behind: int) -> None:
        """Listen on `port` of all interfaces, for the store at `behind` on the loopback interface.

        Raises:
            OSError: the port is taken.
        """
        self._key = key
        self._behind = behind
        self._unproved: Counter[str] = Counter()
        self._refused = 0
        listener = _listener(port)
        self.port: int = listener.getsockname()[1]
        self._server = _in_background(asyncio.start_server(self._serve, sock=listener))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str((writer.get_extra_info("peername") or ("",))[0])
        if self._unproved.total() >= _MAX_UNPROVED or self._unproved[address] >= _MAX_UNPROVED_OF_ADDRESS:
            writer.close()
            return
        self._unproved[address] += 1
        try:
            async with asyncio.timeout(_PROOF_SECONDS):
                await self._admit(reader, writer)
                through = await asyncio.open_connection(_LOOPBACK, self._behind)
        except (OSError, EOFError) as error:
            self._refused += 1
            if self._refused <= _MAX_LOGGED:
                log.warning("refused a connection to the store of the run from %s: %s", address, error or "too slow")
            writer.close()
            return
        finally:
            self._unproved[address] -= 1
            self._unproved += Counter()  # forgets the addresses without any
        await _pass_on(reader, writer, *through)

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let the caller prove itself, and prove ourselves.

        Raises:
            Stranger: it does not hold the key.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        writer.write(_MAGIC + bytes.fromhex(self._key.id) + nonce)
        answer = await reader.readexactly(_NONCE_BYTES + _PROOF_BYTES)
        theirs, proof = answer[:_NONCE_BYTES], answer[_NONCE_BYTES:]
        if not hmac.compare_digest(proof, self._key.proof(_CALLER, nonce, theirs)):
            raise Stranger("it does not hold the key of the group")
        writer.write(self._key.proof(_GATE, nonce, theirs))
        await writer.drain()


class Passage:
    """A port of the loopback interface that leads through the gate, in every other process of a group."""

    def __init__(self, host: str, port: int, keys: Keys) -> None:
        """Show that the gate is there and belongs to this run, then listen.

        Raises:
            OSError: nobody answers at `host` and `port`, or a stranger does, or the key is not there.
            TrainerError: the key cannot be read.
        """
        self._gate = (host, port)
        self._keys = keys
        self._known: dict[str, GroupKey] = {}
        _in_background(self._try())
        listener = socket.create_server((_LOOPBACK, 0))
        self.port: int = listener.getsockname()[1]
        self._server = _in_background(asyncio.start_server(self._serve, sock=listener))

    def close(self) -> None:
        """Take no more connections."""
        _loop_of_thread().call_soon_threadsafe(self._server.close)

    async def _try(self) -> None:
        _, writer = await self._through()
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            through = await self._through()
        except Exception as error:  # whatever it is, torch sees a closed connection and the process tries again
            log.warning("the store of the run cannot be reached: %s", error)
            writer.close()
            return
        await _pass_on(reader, writer, *through)

    async def _through(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection to the store, on which both sides have proved themselves."""
        async with asyncio.timeout(_PROOF_SECONDS):
            reader, writer = await asyncio.open_connection(*self._gate)
            try:
                await self._prove(reader, writer)
            except BaseException as error:
                writer.close()
                if isinstance(error, EOFError):
                    raise Stranger("the connection was closed before the keys were compared") from None
                raise
        return reader, writer

    async def _prove(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(len(_MAGIC)) != _MAGIC:
            raise Stranger("another program answers there")
        key = await self._key((await reader.readexactly(_ID_BYTES)).hex())
        nonce, mine = await reader.readexactly(_NONCE_BYTES), secrets.token_bytes(_NONCE_BYTES)
        writer.write(mine + key.proof(_CALLER, nonce, mine))
        if not hmac.compare_digest(await reader.readexactly(_PROOF_BYTES), key.proof(_GATE, nonce, mine)):
            raise Stranger("who answers there does not hold the key of the group")

    async def _key(self, key_id: str) -> GroupKey:
        """Read the key that the gate names."""
        if key_id not in self._known:
            secret = await asyncio.to_thread(self._keys.secret_of, key_id)
            if secret is None or len(secret) != _SECRET_BYTES:
                raise Stranger("it names a key that the run does not have")
            self._known[key_id] = GroupKey(key_id, secret)
        return self._known[key_id]


async def _pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    other_reader: asyncio.StreamReader,
    other_writer: asyncio.StreamWriter,
) -> None:
    """Pass bytes on in both directions until one side closes; then close the other, too."""

    async def one_direction(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while block := await source.read(_BLOCK_BYTES):
                target.write(block)
                await target.drain()
        except OSError:
            pass  # the same as an end
        finally:
            writer.close()
            other_writer.close()

    await asyncio.gather(one_direction(reader, other_writer), one_direction(other_reader, writer))


def _listener(port: int) -> socket.socket:
    """Open a listening socket on all interfaces, of both families where the machine has both."""
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            log.debug("no IPv6: %s", error)
    return socket.create_server(("", port))


@cache
def _loop_of_thread() -> asyncio.AbstractEventLoop:
    """Return the loop of the one thread that serves all connections of this process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="gate", daemon=True).start()
    return loop


def _in_background(work: Coroutine[Any, Any, _T]) -> _T:
    """Do a piece of work in that thread, and wait for it where a signal is heard."""
    return asyncio.run_coroutine_threadsafe(work, _loop_of_thread()).result()
