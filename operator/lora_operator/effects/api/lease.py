"""Leadership: of several operator processes the one that holds the Lease acts.

The protocol is that of client-go: the holder renews every two seconds and stops acting ten seconds after its
last renewal; others take the Lease when they have seen no renewal for fifteen seconds by their own clock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from lora_contract.times import format_time
from lora_operator.effects import metrics
from lora_operator.effects.api.client import Api, ApiError, reading
from lora_operator.effects.errors import ExpectedError

LEASE_SECONDS = 15
RENEW_DEADLINE_SECONDS = 10.0
RETRY_SECONDS = 2.0
_REQUEST_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Leadership:
    """Whether this process may act. Without a namespace there is no election: it always may."""

    def __init__(self, api: Api, *, namespace: str, name: str, identity: str) -> None:
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._elected = bool(namespace)
        self.identity = identity
        self._valid_until = 0.0 if namespace else float("inf")
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = 0.0

    def held(self) -> bool:
        """Return whether this process leads now; also false in one that was frozen and wakes up too late."""
        return time.monotonic() < self._valid_until

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Run `lead` whenever this process leads and cancel it when it no longer does, until cancelled."""
        leading: asyncio.Task[None] | None = None
        try:
            while True:
                if self._elected:
                    await self.renew()
                if self.held() and (leading is None or leading.done()):
                    if leading is not None:
                        leading.result()
                    logger.info("this process leads")
                    leading = asyncio.ensure_future(lead())
                elif not self.held() and leading is not None:
                    logger.warning("this process no longer leads")
                    await _cancel(leading)
                    leading = None
                metrics.LEADER.set(self.held())
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            if leading is not None:
                await _cancel(leading)
            if self._elected and self.held():
                await self._release()

    async def renew(self) -> None:
        """Try once to take the Lease or to keep it. Where that fails, what is held stays held until its time is up."""
        asked_at = time.monotonic()
        try:
            with reading("the Lease"):
                acquired = await self._acquire()
            if acquired:
                self._valid_until = asked_at + RENEW_DEADLINE_SECONDS
        except ApiError as error:
            if error.status != 409:  # somebody else was faster
                logger.warning("the Lease could not be renewed: %s", error)
        except ExpectedError as error:
            logger.warning("the Lease could not be renewed: %s", error)

    async def _acquire(self) -> bool:
        now = format_time(datetime.now(UTC), fraction=True)
        try:
            lease = await self._request("GET", f"{self._path}/{self._name}")
        except ApiError as error:
            if error.status != 404:
                raise
            await self._request("POST", self._path, self._lease({}, _spec(self.identity, now, now, 0)))
            return True
        spec = lease.get("spec") or {}
        holder = str(spec.get("holderIdentity") or "")
        if holder != self.identity and holder and not self._expired(holder, str(spec.get("renewTime"))):
            return False
        taken, changes = str(spec.get("acquireTime") or now), int(spec.get("leaseTransitions") or 0)
        if holder != self.identity:
            taken, changes = now, changes + 1
        body = self._lease(lease["metadata"], _spec(self.identity, taken, now, changes))
        await self._request("PUT", f"{self._path}/{self._name}", body)
        return True

    def _expired(self, holder: str, renewed: str) -> bool:
        """Return whether, by our own clock since those of nodes differ, it was not renewed since we first saw it so."""
        now = time.monotonic()
        if self._seen != (holder, renewed):
            self._seen, self._seen_at = (holder, renewed), now
        return now - self._seen_at > LEASE_SECONDS

    async def _release(self) -> None:
        self._valid_until = 0.0
        with suppress(ExpectedError), reading("the Lease"):
            lease = await self._request("GET", f"{self._path}/{self._name}")
            spec = lease.get("spec") or {}
            if spec.get("holderIdentity") == self.identity:
                body = self._lease(lease["metadata"], {**spec, "holderIdentity": "", "leaseDurationSeconds": 1})
                await self._request("PUT", f"{self._path}/{self._name}", body)

    async def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self._api.request(method, path, body=body, seconds=_REQUEST_SECONDS)

    def _lease(self, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
        version = {key: metadata[key] for key in ("resourceVersion",) if key in metadata}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, **version},
            "spec": spec,
        }


def _spec(identity: str, acquired: str, renewed: str, transitions: int) -> dict[str, Any]:
    return {
        "holderIdentity": identity,
        "leaseDurationSeconds": LEASE_SECONDS,
        "acquireTime": acquired,
        "renewTime": renewed,
        "leaseTransitions": transitions,
    }


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
