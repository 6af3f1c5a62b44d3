"""Plain JSON requests to the API server over the connection, TLS and tokens of `kubernetes.aio`.

The typed calls of that library validate every body against models of one Kubernetes version, which costs more
than the request itself and refuses fields of newer clusters. The bodies here are JSON that the API server judges.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from lora_contract.outside import MAX_WORD, shorten, text_of
from lora_contract.version import __version__
from lora_operator.effects import metrics
from lora_operator.effects.api.server_clock import ServerClock
from lora_operator.effects.errors import ExpectedError

_TIMEOUT_SECONDS = 30.0
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
#: Of the objects of a list, only their metadata.
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


#: A server that is away or overloaded is asked again at least this often, so work goes on soon after it is back.
_LONGEST_WAIT_SECONDS = 10.0


class Cause(NamedTuple):
    """A field that the API server refuses, such as `status.conditions[2].message`, and why."""

    field: str
    message: str


class ApiError(ExpectedError):
    """The API server answered with an error.

    `retry_after`: seconds it asked to wait, if it did. `causes`: the fields that it refuses, if it named any.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        retry_after: float | None = None,
        causes: tuple[Cause, ...] = (),
    ) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.causes = causes
        if self.transient:
            self.longest_wait = _LONGEST_WAIT_SECONDS

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later without anybody changing anything."""
        return self.status >= 500 or self.status in (401, 408, 410, 429)


class UnreachableError(ExpectedError):
    """The API server did not answer."""

    longest_wait = _LONGEST_WAIT_SECONDS


class Api:
    """One pool of connections to the API server."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self.clock = ServerClock()
        self._headers = {"User-Agent": f"lora-operator/{__version__}"}

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        seconds: float = _TIMEOUT_SECONDS,
    ) -> dict[str, Any]:
        """Send one request and return the JSON of the answer.

        Raises:
            ApiError: the answer is not 2xx, or none that an API server gives.
            UnreachableError: there was no answer within `seconds`.
        """
        url = self._configuration.host + path + (f"?{urlencode(query)}" if query else "")
        started = time.monotonic()
        status = "unreachable"
        try:
            async with asyncio.timeout(seconds):
                token = (await self._configuration.auth_settings()).get("BearerToken")
                headers = {
                    **self._headers,
                    **({"Authorization": str(token["value"]).strip()} if token else {}),
                    "Content-Type": content_type,
                    "Accept": accept,
                }
                response = await self._client.rest_client.request(
                    method, url, headers=headers, body=body, _request_timeout=seconds
                )
                raw: bytes = await response.read()
            status = str(response.status)
            self.clock.learn(response.headers.get("Date"))
        except (aiohttp.ClientError, OSError) as error:  # OSError includes TimeoutError
            raise UnreachableError(f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            metrics.API_REQUESTS.labels(verb=method, code=status).inc()
            metrics.API_SECONDS.labels(verb=method).observe(time.monotonic() - started)
        if not 200 <= response.status < 300:
            raise _error(response.status, response.headers.get("Retry-After"), raw)
        return _object(f"{method} {path}", raw)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Read an answer; one of another form than that of the Kubernetes API is an error that is tried again.

    Raises:
        ApiError: 502, as for a gateway that got nonsense.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ApiError(502, "BadAnswer", f"the answer to {what} is not that of an API server") from error


def _object(what: str, raw: bytes) -> dict[str, Any]:
    """Read the object or list in an answer. What stands between us and the API server may answer 200 with anything."""
    with reading(what):
        answer: dict[str, Any] = json.loads(raw)
        if not (isinstance(answer["kind"], str) and isinstance(answer.get("metadata") or {}, dict)):
            raise TypeError("no object of the API")
        if not isinstance(answer.get("items") or [], list):
            raise TypeError("no list of the API")
        return answer


def _error(status: int, retry_after: str | None, raw: bytes) -> ApiError:
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        answer = {}
    if not isinstance(answer, dict):
        answer = {}
    return ApiError(
        status,
        text_of(answer.get("reason"), MAX_WORD),
        text_of(answer.get("message")) or shorten(raw[:200].decode(errors="replace")),
        float(retry_after) if retry_after and retry_after.isdigit() else None,
        tuple(_causes(answer.get("details"))),
    )


def _causes(details: object) -> Iterator[Cause]:
    causes = details.get("causes") if isinstance(details, dict) else None
    for cause in causes if isinstance(causes, list) else ():
        if isinstance(cause, dict) and isinstance(cause.get("field"), str):
            yield Cause(text_of(cause["field"], MAX_WORD), text_of(cause.get("message")))
