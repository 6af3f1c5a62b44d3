"""The progress endpoint: what train pods report while they run, in the wire format of Kubeflow's KEP-2779."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from datetime import datetime

from aiohttp import web
from pydantic import ValidationError

from lora_contract import names
from lora_contract.base import problem_of
from lora_contract.progress import MAX_BODY_BYTES, ProgressReport
from lora_operator.core.observe.observed import Progress
from lora_operator.effects import metrics
from lora_operator.effects.api.rate_limit import RateLimit
from lora_operator.effects.api.token_review import PodIdentity, TokenReviews
from lora_operator.effects.errors import ExpectedError
from lora_operator.effects.kinds import Key
from lora_operator.effects.memory.cache import Cache
from lora_operator.effects.memory.work_queue import WorkQueue
from lora_operator.settings import Settings

_READ_SECONDS = 10.0
_REVIEW_SECONDS = 10.0
_RATE_A_SECOND = 1.0
_BURST = 5
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)


class ProgressEndpoint:
    """Takes reports of the pods that train now, and of no others.

    Only the leader takes them, since only it writes status; another replica answers 503, and the pod's next
    report finds the leader. `leads` says whether this process is the leader, `now` the API server's time.
    """

    def __init__(
        self,
        *,
        cache: Cache,
        queue: WorkQueue[Key],
        reviews: TokenReviews,
        leads: Callable[[], bool],
        now: Callable[[], datetime],
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._reviews = reviews
        self._leads = leads
        self._now = now
        self._limit = RateLimit(rate=_RATE_A_SECOND, burst=_BURST)

    def application(self) -> web.Application:
        """Build the application with its one route."""
        application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_answer_in_json])
        application.router.add_post(names.progress_path("{namespace}", "{name}"), self._report)
        return application

    def forget_idle(self) -> None:
        """Drop what is kept of pods that report no more."""
        self._limit.forget_idle()

    async def _report(self, request: web.Request) -> web.Response:
        if not self._leads():
            raise _refused(web.HTTPServiceUnavailable, "this replica stands by; send the report again", retry_after=1)
        pod = await self._authenticate(request)
        if not self._limit.allows(pod.uid):
            raise _refused(web.HTTPTooManyRequests, "at most one report a second", retry_after=1)
        key = Key(request.match_info["namespace"], request.match_info["name"])
        uid = self._authorize(pod, key)
        report = await self._read(request)
        self._cache.memory(uid).progress = Progress(report.trainer_status, self._now(), pod.name)
        self._queue.add(key)
        return web.json_response({"accepted": True})

    async def _authenticate(self, request: web.Request) -> PodIdentity:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip() or not token.isascii():
            raise _refused(web.HTTPUnauthorized, "send the pod's projected token as a bearer token")
        try:
            async with asyncio.timeout(_REVIEW_SECONDS):
                pod = await self._reviews.pod_of(token.strip())
        except (ExpectedError, TimeoutError):
            raise _refused(
                web.HTTPServiceUnavailable, "the API server cannot be asked about the token now", retry_after=5
            ) from None
        if pod is None:
            raise _refused(
                web.HTTPUnauthorized,
                f"the token is not valid for audience {names.PROGRESS_AUDIENCE} and bound to a pod",
            )
        return pod

    def _authorize(self, pod: PodIdentity, key: Key) -> str:
        """Return the uid of the run, if the pod is one that prepares or trains it now."""
        run = self._cache.finetunes.get(key) if pod.namespace == key.namespace else None
        if run is None:
            raise _refused(web.HTTPNotFound, f"there is no {names.KIND} {key} in the namespace of the pod")
        found = self._cache.pods.get(Key(pod.namespace, pod.name))
        job = self._cache.job_of(found) if found is not None and found.uid == pod.uid else None
        jobs = [other for other in self._cache.jobs_of(run) if other.value.stage != names.STAGE_CHECK]
        if found is None or job is None or job not in jobs:
            raise _refused(web.HTTPForbidden, f"pod {pod.name} does not prepare or train {names.KIND} {key}")
        if found.value.finished or any(other.value.created > job.value.created for other in jobs):
            raise _refused(web.HTTPForbidden, f"pod {pod.name} belongs to an earlier attempt of {key}")
        return run.uid

    async def _read(self, request: web.Request) -> ProgressReport:
        try:
            async with asyncio.timeout(_READ_SECONDS):
                return ProgressReport.model_validate_json(await request.read())
        except TimeoutError:
            raise _refused(web.HTTPRequestTimeout, "the body did not arrive in time") from None
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in wrong["loc"]) or "body"
            raise _refused(web.HTTPBadRequest, f"{where}: {problem_of(wrong)}") from None


@web.middleware
async def _answer_in_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as error:
        headers = {key: error.headers[key] for key in ("Allow", "Retry-After") if key in error.headers}
        message = error.text if error.content_type == "application/x-message" else error.reason
        if error.status == 413:
            message = f"a report has at most {MAX_BODY_BYTES} bytes"
        response = web.json_response({"message": message}, status=error.status, headers=headers)
    metrics.PROGRESS_REPORTS.labels(code=str(response.status)).inc()
    return response


def _refused(kind: type[web.HTTPException], message: str, *, retry_after: int | None = None) -> web.HTTPException:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return kind(text=message, content_type="application/x-message", headers=headers)


class Certificate:
    """The TLS context of the endpoint; a renewed certificate is used for new connections without a restart."""

    def __init__(self, settings: Settings) -> None:
        self._files = settings.tls_cert_file, settings.tls_key_file
        self._loaded: tuple[float, float] | None = None
        self.context: ssl.SSLContext | None = None
        if all(self._files):
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.minimum_version = ssl.TLSVersion.TLSv1_2
            self.reload()

    def reload(self) -> None:
        """Read the files again if they have changed."""
        certificate, key = self._files
        if self.context is None or certificate is None or key is None:
            return
        changed = certificate.stat().st_mtime, key.stat().st_mtime
        if changed != self._loaded:
            self.context.load_cert_chain(certificate, key)
            self._loaded = changed
