"""Who sends a bearer token, asked of the API server. Tokens are neither kept nor logged; hashes of them are."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import Any

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

    def __init__(self, api: Api) -> None:
        self._api = api
        self._answers: dict[str, tuple[float, PodIdentity | None]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def pod_of(self, token: str) -> PodIdentity | None:
        """Find the pod of a token that is valid, for us, and bound to a pod; else None.

        Raises:
            ApiError, UnreachableError: the API server could not be asked.
        """
        digest = hashlib.sha256(token.encode()).hexdigest()
        known = self._known(digest)
        if known is not None:
            return known[1]
        async with self._slots:
            if (known := self._known(digest)) is not None:
                return known[1]
            identity = await self._ask(token)
        lifetime = _BAD_SECONDS if identity is None else _GOOD_SECONDS
        self._remember(digest, identity, time.monotonic() + lifetime)
        return identity

    def _known(self, digest: str) -> tuple[float, PodIdentity | None] | None:
        answer = self._answers.get(digest)
        return answer if answer is not None and answer[0] > time.monotonic() else None

    def _remember(self, digest: str, identity: PodIdentity | None, until: float) -> None:
        if len(self._answers) >= _MOST_KEPT:
            now = time.monotonic()
            self._answers = {key: answer for key, answer in self._answers.items() if answer[0] > now}
            if len(self._answers) >= _MOST_KEPT:
                self._answers.clear()
        self._answers[digest] = (until, identity)

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
