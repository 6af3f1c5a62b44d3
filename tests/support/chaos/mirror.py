"""What the API server holds, kept up to date by one watch a kind: hundreds of scenarios wait on it and ask nothing."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from lora_contract import names

Body = dict[str, Any]

_OURS = f"/apis/{names.GROUP}/{names.VERSION}"
#: Collections of all namespaces that are mirrored, by the plural of their kind.
PATHS = {
    "pods": "/api/v1/pods",
    "serviceaccounts": "/api/v1/serviceaccounts",
    "jobs": "/apis/batch/v1/jobs",
    "workloads": "/apis/kueue.x-k8s.io/v1beta2/workloads",
    "events": "/apis/events.k8s.io/v1/events",
    names.PLURAL: f"{_OURS}/{names.PLURAL}",
    names.SWEEP_PLURAL: f"{_OURS}/{names.SWEEP_PLURAL}",
}
_MERGE_PATCH = "application/merge-patch+json"
_AGAIN_SECONDS = 0.2


class RefusedError(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:500]}")
        self.status = status


def path_of(plural: str, namespace: str, name: str = "") -> str:
    """The path of a collection of one namespace, or of one object."""
    root, _, last = PATHS.get(plural, f"/api/v1/{plural}").rpartition("/")
    return f"{root}/namespaces/{namespace}/{last}" + (f"/{name}" if name else "")


@dataclass
class Mirror:
    """Requests of the administrator, and the objects of `PATHS` as last seen.

    `reactions` are called with plural and body whenever an object is new or has changed.
    """

    server: str
    session: aiohttp.ClientSession
    objects: dict[str, dict[tuple[str, str], Body]] = field(default_factory=lambda: defaultdict(dict))
    reactions: list[Callable[[str, Body], None]] = field(default_factory=list)
    _changed: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def request(self, method: str, path: str, body: Body | None = None) -> Body:
        """Send one request; PATCH merges.

        Raises:
            RefusedError: the answer is not 2xx.
        """
        kind = _MERGE_PATCH if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": kind}
        async with self.session.request(method, self.server + path, data=data, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise RefusedError(answer.status, text)
            found: Body = json.loads(text)
            return found

    def get(self, plural: str, namespace: str, name: str) -> Body | None:
        """One object as last seen."""
        return self.objects[plural].get((namespace, name))

    def all(self, plural: str, namespace: str) -> list[Body]:
        """The objects of a namespace, oldest first."""
        found = [body for (where, _), body in self.objects[plural].items() if where == namespace]
        return sorted(found, key=lambda body: (body["metadata"]["creationTimestamp"], body["metadata"]["name"]))

    async def until(self, namespace: str, what: str, holds: Callable[[], bool], *, seconds: float = 60) -> None:
        """Wait until a condition on the mirrored objects of a namespace holds.

        Raises:
            AssertionError: it does not within `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    self._changed[namespace].clear()
                    await self._changed[namespace].wait()
        except TimeoutError:
            raise AssertionError(f"not within {seconds:.0f} s: {what}") from None

    async def watch(self) -> None:
        """Mirror until cancelled."""
        async with asyncio.TaskGroup() as group:
            for plural, path in PATHS.items():
                group.create_task(self._watch(plural, path))

    async def _watch(self, plural: str, path: str) -> None:
        while True:
            with suppress(RefusedError, aiohttp.ClientError, OSError, ValueError):
                listed = await self.request("GET", path)
                present = {_key(body) for body in listed["items"]}
                for key in set(self.objects[plural]) - present:
                    del self.objects[plural][key]
                for body in listed["items"]:
                    self._put(plural, body)
                await self._follow(plural, f"{path}?watch=true&resourceVersion={listed['metadata']['resourceVersion']}")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _follow(self, plural: str, path: str) -> None:
        async with self.session.get(self.server + path) as answer:
            async for line in _lines(answer.content):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] == "DELETED":
                    self.objects[plural].pop(_key(event["object"]), None)
                    self._changed[event["object"]["metadata"]["namespace"]].set()
                else:
                    self._put(plural, event["object"])

    def _put(self, plural: str, body: Body) -> None:
        self.objects[plural][_key(body)] = body
        self._changed[body["metadata"]["namespace"]].set()
        for react in self.reactions:
            react(plural, body)


def _key(body: Body) -> tuple[str, str]:
    return body["metadata"]["namespace"], body["metadata"]["name"]


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream, however long."""
    buffer = b""
    async for chunk in content.iter_any():
        *whole, buffer = (buffer + chunk).split(b"\n")
        for line in whole:
            yield line


@asynccontextmanager
async def mirrored(kubeconfig: Path) -> AsyncIterator[Mirror]:
    """A mirror of the API server that a kubeconfig with a client certificate names."""
    config = yaml.safe_load(await asyncio.to_thread(kubeconfig.read_text, encoding="utf-8"))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as identity:
        identity.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        identity.flush()
        context.load_cert_chain(identity.name)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        mirror = Mirror(cluster["server"], session)
        watching = asyncio.create_task(mirror.watch())
        try:
            yield mirror
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
