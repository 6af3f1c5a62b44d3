"""Tells the operator how far the work is: best effort, from a thread, in the wire format of KEP-2779.

Nothing waits for a report and no failure of one reaches the work. Imports nothing heavy: `prepare` uses it too.
"""

from __future__ import annotations

import logging
import os
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from lora_contract import names
from lora_contract.progress import Metric, ProgressReport, TrainerStatus
from lora_contract.times import format_time

log = logging.getLogger(__name__)

#: Least seconds between two reports.
INTERVAL = 2.0
_TIMEOUT = 5.0


class ProgressPoster:
    """Posts the newest state, at most one every `INTERVAL` seconds."""

    def __init__(self, url: str, *, token_file: Path | None = None, ca_file: Path | None = None) -> None:
        """`token_file` is read again for every report: the kubelet renews it."""
        self._url = url
        self._token_file = token_file
        self._ca_file = ca_file
        self._newest: TrainerStatus | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="progress", daemon=True)
        self._thread.start()

    def post(self, *, percent: int | None, eta_seconds: float | None, metrics: dict[str, float]) -> None:
        """Replace what the next report says; returns at once."""
        status = TrainerStatus(
            progress_percentage=None if percent is None else min(100, max(0, percent)),
            estimated_remaining_seconds=None if eta_seconds is None else max(0, round(eta_seconds)),
            last_updated_time=format_time(datetime.now(UTC)),
            metrics=[Metric(name=name, value=f"{value:.10g}") for name, value in metrics.items()],
        )
        with self._changed:
            self._newest = status
            self._changed.notify()

    def close(self) -> None:
        """Send what is left and end the thread, within a few seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=_TIMEOUT)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._closed)
                status, self._newest = self._newest, None
                closed = self._closed
            if status is not None:
                self._send(status)
            if closed:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._closed, timeout=INTERVAL)

    def _send(self, status: TrainerStatus) -> None:
        body = ProgressReport(trainer_status=status).model_dump_json(by_alias=True, exclude_none=True).encode()
        headers = {"Content-Type": "application/json"}
        try:
            if self._token_file is not None:
                headers["Authorization"] = f"Bearer {self._token_file.read_text().strip()}"
            handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]  # it is in the cluster
            if self._url.startswith("https"):
                context = ssl.create_default_context(cafile=None if self._ca_file is None else str(self._ca_file))
                handlers.append(urllib.request.HTTPSHandler(context=context))
            request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")  # noqa: S310
            with urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT):
                pass
        except Exception as error:
            log.debug("progress was not reported: %s", type(error).__name__)


def from_environment() -> ProgressPoster | None:
    """Make the poster that the environment asks for; None where nobody listens."""
    url = os.environ.get(names.ENV_PROGRESS_URL, "")
    if not url.startswith(("http://", "https://")):
        return None
    token, authority = os.environ.get(names.ENV_PROGRESS_TOKEN), os.environ.get(names.ENV_PROGRESS_CA)
    return ProgressPoster(
        url,
        token_file=Path(token) if token else None,
        ca_file=Path(authority) if authority else None,
    )


@contextmanager
def started() -> Iterator[None]:
    """Tell that work began, for a stage that has no steps."""
    poster = from_environment()
    if poster is not None:
        poster.post(percent=0, eta_seconds=None, metrics={})
    try:
        yield
    finally:
        if poster is not None:
            poster.close()
