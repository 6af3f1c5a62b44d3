"""Whenever kopf lists anew, the operator hears of it: what was deleted before is told by nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lora_operator.effects.kinds import Kind
from lora_operator.handlers.kopf_thread import KopfThread
from support.story import settings

GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
#: What kopf wants to find, by group: of each the one version is v1.
RESOURCES = {
    "": [("namespaces", "namespace", "Namespace"), ("pods", "pod", "Pod")],
    "apiextensions.k8s.io": [("customresourcedefinitions", "customresourcedefinition", "CustomResourceDefinition")],
    "batch": [("jobs", "job", "Job")],
}


class ApiServer:
    """Serves Jobs, of which there are none. Each watch ends as `ends` says, in their order; later ones stay."""

    def __init__(self, *ends: Mapping[str, Any] | None) -> None:
        self._ends = list(ends)
        self._over = asyncio.Event()
        #: Set once a watch of pods was refused; then Jobs are not listed either.
        self.refused: asyncio.Event | None = None

    async def groups(self, _: web.Request) -> web.Response:
        """The groups, and the versions of the oldest."""
        groups = [
            {"name": name, "versions": [{"version": "v1"}], "preferredVersion": {"version": "v1"}} for name in RESOURCES
        ]
        return web.json_response({"groups": groups, "versions": ["v1"]})

    async def resources(self, request: web.Request) -> web.Response:
        """The resources of a group."""
        verbs = {"namespaced": True, "verbs": ["list", "watch"]}
        found = [
            {"name": plural, "singularName": singular, "kind": kind, **verbs}
            for plural, singular, kind in RESOURCES[request.match_info.get("group", "")]
        ]
        return web.json_response({"resources": found})

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        """A list, or a watch."""
        if self.refused is not None:
            await self.refused.wait()
            return web.json_response({"kind": "Status", "code": 410, "reason": "Expired"}, status=410)
        if "watch" not in request.query:
            return web.json_response({"kind": "JobList", "metadata": {"resourceVersion": "7"}, "items": []})
        response = web.StreamResponse()
        await response.prepare(request)
        if not self._ends:
            await self._over.wait()
        elif (end := self._ends.pop(0)) is not None:
            await response.write(json.dumps(end).encode() + b"\n")
        return response

    async def pods(self, request: web.Request) -> web.StreamResponse:
        """An empty list; each watch is refused as by a server that is overloaded."""
        if "watch" not in request.query:
            return web.json_response({"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": []})
        if self.refused is not None:
            self.refused.set()
        return web.json_response({"kind": "Status", "code": 500}, status=500)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The URL of the running server."""
        application = web.Application()
        application.router.add_get("/api", self.groups)
        application.router.add_get("/apis", self.groups)
        application.router.add_get("/api/v1", self.resources)
        application.router.add_get("/apis/{group}/v1", self.resources)
        application.router.add_get("/apis/batch/v1/jobs", self.jobs)
        application.router.add_get("/api/v1/pods", self.pods)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            self._over.set()
            await runner.cleanup()


def kubeconfig(url: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "clusters": [{"name": "one", "cluster": {"server": url}}],
        "users": [{"name": "one", "user": {"token": "x"}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    }
    (directory / "config").write_text(json.dumps(config))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(directory / "config"))


async def lists_of(server: ApiServer, number: int, monkeypatch: pytest.MonkeyPatch, directory: Path) -> list[Any]:
    """What is told of lists until there are so many."""
    told: list[Any] = []
    enough = asyncio.Event()

    def listed(kind: Kind, namespace: str | None) -> None:
        told.append((kind, namespace))
        if len(told) >= number:
            enough.set()

    async with server.serving() as url:
        kubeconfig(url, directory, monkeypatch)
        thread = KopfThread([Kind.JOB], settings(), lambda kind, event: None, listed)
        try:
            async with asyncio.timeout(20):
                await enough.wait()
        finally:
            await thread.stop()
    return told


async def test_the_list_at_the_start_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert await lists_of(ApiServer(), 1, monkeypatch, tmp_path) == [(Kind.JOB, None)]


async def test_after_410_the_list_is_told_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert await lists_of(ApiServer(GONE), 2, monkeypatch, tmp_path) == [(Kind.JOB, None)] * 2


async def test_a_watch_that_goes_on_where_it_ended_is_no_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert await lists_of(ApiServer(None, None, GONE), 2, monkeypatch, tmp_path) == [(Kind.JOB, None)] * 2


async def test_an_end_of_one_watch_is_told_though_kopf_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Jobs cannot be listed while the watch of pods waits to try again with new credentials."""
    server = ApiServer()
    server.refused = asyncio.Event()
    async with server.serving() as url:
        kubeconfig(url, tmp_path, monkeypatch)
        thread = KopfThread([Kind.JOB, Kind.POD], settings(), lambda kind, event: None, lambda kind, namespace: None)
        await server.refused.wait()
        assert await thread.ended_within(5)
        await thread.stop()
