"""What a trainer tells the operator on the way."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lora_contract import names
from lora_contract.progress import ProgressReport
from lora_trainer import progress
from lora_trainer.progress import ProgressPoster


class Endpoint(ThreadingHTTPServer):
    """A progress endpoint that keeps what it gets."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, ProgressReport]] = []
        self.answer = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/progress"

    def wait(self, count: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.received) < count:
            assert time.monotonic() < deadline, self.received
            time.sleep(0.01)


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        report = ProgressReport.model_validate_json(body)
        self.server.received.append((self.headers.get("Authorization", ""), report))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_progress_is_posted_in_the_wire_format_with_a_token_that_is_read_anew(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    token = tmp_path / "token"
    token.write_text("first\n")
    poster = ProgressPoster(endpoint.url, token_file=token)
    poster.post(percent=40, eta_seconds=12.4, metrics={"step": 4, "loss": 1.25})
    endpoint.wait(1)
    token.write_text("second\n")
    poster.post(percent=50, eta_seconds=None, metrics={})
    poster.close()
    (first, report), (second, _) = endpoint.received
    assert (first, second) == ("Bearer first", "Bearer second")
    status = report.trainer_status
    assert (status.progress_percentage, status.estimated_remaining_seconds) == (40, 12)
    assert (status.number("step"), status.number("loss")) == (4, 1.25)


def test_reports_take_no_proxy_because_the_operator_is_in_the_cluster(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The platform gives run pods a proxy for S3 and the Hub, which knows nothing of the cluster's Services
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # it would keep the proxies of an earlier test
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    poster = ProgressPoster(endpoint.url)
    poster.post(percent=1, eta_seconds=None, metrics={})
    poster.close()

    assert len(endpoint.received) == 1


def test_many_reports_become_few_and_the_newest_arrives(endpoint: Endpoint) -> None:
    poster = ProgressPoster(endpoint.url)
    for step in range(1000):
        poster.post(percent=None, eta_seconds=None, metrics={"step": step})
    poster.close()
    assert 1 <= len(endpoint.received) <= 3
    assert endpoint.received[-1][1].trainer_status.number("step") == 999


def test_an_endpoint_that_refuses_or_is_gone_disturbs_nothing(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.answer = 503
    for poster in (
        ProgressPoster(endpoint.url),
        ProgressPoster("http://127.0.0.1:9/nobody", token_file=tmp_path / "missing"),
    ):
        poster.post(percent=1, eta_seconds=None, metrics={})
        poster.close()


def test_nobody_listening_means_no_poster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(names.ENV_PROGRESS_URL, raising=False)
    assert progress.from_environment() is None
