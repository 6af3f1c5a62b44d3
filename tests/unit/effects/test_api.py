"""Answers that no API server gives, as a proxy or a captive portal does: an error that is tried again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from lora_operator.effects.api.client import Api, ApiError
from lora_operator.effects.api.kube import Kube
from lora_operator.effects.api.lease import Leadership
from lora_operator.effects.errors import ExpectedError
from lora_operator.effects.kinds import Key, Kind
from lora_operator.handlers.http_server import ConnectionLimits, HttpServer

NO_ANSWER_OF_AN_API_SERVER = [
    b"<html>sign in</html>",
    b"",
    b"null",
    b"[]",
    b'"ok"',
    b"{}",
    b'{"error": "login"}',
    b'{"kind": 7}',
    b'{"kind": "List", "items": [], "metadata": "none"}',
    b'{"kind": "List", "items": {"a": 1}, "metadata": {"resourceVersion": "1"}}',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"kind": "Lease", "metadata": {}, "spec": ' + b"9" * 5000 + b"}",
]


@dataclass
class FakeServer:
    """An API server that answers everything with 200 and the same bytes."""

    answer: bytes

    async def handle(self, _: web.Request) -> web.Response:
        return web.Response(body=self.answer, content_type="application/json")


@asynccontextmanager
async def api_that_answers(answer: bytes) -> AsyncIterator[Api]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", FakeServer(answer).handle)
    limits = ConnectionLimits(in_all=8, per_address=8)
    server = await HttpServer.start(application, host="127.0.0.1", port=0, limits=limits)
    api = Api(Configuration(host=f"http://127.0.0.1:{server.listener.getsockname()[1]}"))
    try:
        yield api
    finally:
        await api.close()
        await server.close()


@pytest.mark.parametrize("answer", NO_ANSWER_OF_AN_API_SERVER)
async def test_a_200_that_is_no_answer_of_an_api_server_is_an_error_that_is_tried_again(answer: bytes) -> None:
    async with api_that_answers(answer) as api:
        with pytest.raises(ApiError) as caught:
            await api.request("GET", "/apis/batch/v1")
    assert caught.value.transient
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("answer", NO_ANSWER_OF_AN_API_SERVER)
async def test_the_lease_is_not_held_then_and_nothing_ends(answer: bytes) -> None:
    async with api_that_answers(answer) as api:
        leadership = Leadership(api, namespace="system", name="operator", identity="a")
        await leadership.renew()
    assert not leadership.held()


@pytest.mark.parametrize(
    "answer",
    [
        b'{"kind": "Lease", "metadata": {}}',
        b'{"kind": "Lease", "spec": {"holderIdentity": "b", "leaseTransitions": "many"}}',
        b'{"kind": "Lease", "spec": "mine"}',
        b'{"kind": "PodList", "metadata": {}, "items": []}',
        b'{"kind": "PodList", "metadata": {"resourceVersion": "x"}, "items": [1]}',
        b'{"kind": "APIResourceList", "resources": [{}]}',
        b'{"kind": "PendingWorkloadsSummary", "items": [{"metadata": {}, "positionInLocalQueue": "first"}]}',
    ],
)
async def test_an_answer_of_another_form_is_an_expected_error(answer: bytes) -> None:
    async with api_that_answers(answer) as api:
        kube = Kube(api, lambda: True)
        await Leadership(api, namespace="system", name="operator", identity="a").renew()
        calls: list[Any] = [
            kube.serves(Kind.POD),
            first_page(kube),
            kube.queue_positions(Key("team-a", "gpus")),
            kube.warnings("team-a", "Job", "job"),
            kube.largest_gpu("memory", ""),
        ]
        for call in calls:
            try:
                await call
            except ExpectedError:
                continue


async def first_page(kube: Kube) -> None:
    async for _ in kube.pages(Kind.POD, None):
        return
