"""Who sends a bearer token, asked of the API server. Tokens are neither kept nor logged; hashes of them are."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cachetools import TLRUCache

from lora_contract import names
from lora_operator.effects.api.client import Api, reading

_GOOD_SECONDS = 60.0
_BAD_SECONDS = 10.0
_MOST_KEPT = 8192
_AT_ONCE = 8
_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"
_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True)
class PodIdentity:
    """The pod that a projected service account token is bound to."""

    namespace: str
    name: str
    uid: str


class TokenReviews:
    """Asks for TokenReviews with our audience and remembers the answers for a minute at most."""

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._answers: TLRUCache[str, PodIdentity | None] = TLRUCache(_MOST_KEPT, _forget_at, timer=clock)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def pod_of(self, token: str) -> PodIdentity | None:
        """Find the pod of a token that is valid, for us, and bound to a pod; else None.

        Raises:
            ApiError, UnreachableError: the API server could not be asked.
        """
        digest = hashlib.sha256(token.encode()).hexdigest()
        with suppress(KeyError):
            return self._answers[digest]
        async with self._slots:
            with suppress(KeyError):
                return self._answers[digest]
            identity = self._answers[digest] = await self._ask(token)
        return identity

    async def _ask(self, token: str) -> PodIdentity | None:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [names.PROGRESS_AUDIENCE]},
        }
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        answer = await self._api.request("POST", path, body=body)
        with reading(path):
            return _identity(answer.get("status") or {})


def _forget_at(_digest: str, identity: PodIdentity | None, now: float) -> float:
    return now + (_BAD_SECONDS if identity is None else _GOOD_SECONDS)


def _identity(status: dict[str, Any]) -> PodIdentity | None:
    user = status.get("user") or {}
    name = str(user.get("username") or "")
    if not status.get("authenticated") or names.PROGRESS_AUDIENCE not in (status.get("audiences") or ()):
        return None
    extra = user.get("extra") or {}
    pod, uid = (next(iter(extra.get(key) or ()), "") for key in (_POD_NAME, _POD_UID))
    if not name.startswith(_SERVICE_ACCOUNT) or not pod or not uid:
        return None
    return PodIdentity(namespace=name.removeprefix(_SERVICE_ACCOUNT).split(":", 1)[0], name=pod, uid=uid)
