"""Tokens of pods: the API server is asked once for each, and again when its answer has grown old."""

from __future__ import annotations

from typing import Any, cast

import pytest

from lora_contract import names
from lora_operator.effects.api import token_review
from lora_operator.effects.api.client import Api
from lora_operator.effects.api.token_review import PodIdentity, TokenReviews

GOOD = {
    "authenticated": True,
    "audiences": [names.PROGRESS_AUDIENCE],
    "user": {
        "username": "system:serviceaccount:team-a:default",
        "extra": {
            "authentication.kubernetes.io/pod-name": ["triage-train-x"],
            "authentication.kubernetes.io/pod-uid": ["4711"],
        },
    },
}


class Server:
    """An API server that knows the token `good`, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[str] = []
        self.reviews = TokenReviews(cast("Api", self), clock=lambda: self.now)

    async def request(self, _method: str, _path: str, *, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body["spec"]["token"])
        return {"status": GOOD if self.asked[-1] == "good" else {"authenticated": False}}


async def test_a_good_token_is_reviewed_once_a_minute() -> None:
    server = Server()

    for _ in range(3):
        assert await server.reviews.pod_of("good") == PodIdentity("team-a", "triage-train-x", "4711")
        server.now += 20
    assert server.asked == ["good"]

    await server.reviews.pod_of("good")
    assert server.asked == ["good", "good"]


async def test_a_bad_token_is_reviewed_again_after_ten_seconds() -> None:
    server = Server()

    for _ in range(2):
        assert await server.reviews.pod_of("bad") is None
    assert server.asked == ["bad"]

    server.now += 10
    await server.reviews.pod_of("bad")
    assert server.asked == ["bad", "bad"]


async def test_a_flood_of_bad_tokens_drops_no_answer_about_a_pod_that_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_review, "_MOST_KEPT", 8)
    server = Server()

    for number in range(40):
        await server.reviews.pod_of("good")
        await server.reviews.pod_of(f"bad-{number}")

    assert server.asked.count("good") == 1
