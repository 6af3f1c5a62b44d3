"""The part of the Hub's HTTP interface that downloads use, over a folder of repositories, with a gate and faults."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "5a149550068a1eb93398160d8953f5f56c3603e9"


@dataclass
class Hub:
    """A running server: `folder/<owner>/<name>/` is a repository with one commit."""

    folder: Path
    endpoint: str = ""
    #: Names of the commit.
    branches: set[str] = field(default_factory=lambda: {"main"})
    #: Token that gated repositories ask for, by repository.
    gated: dict[str, str] = field(default_factory=dict)
    #: Answers 503 to this many requests before it serves.
    failures: int = 0
    #: Files whose content arrives with one byte changed.
    damaged: set[str] = field(default_factory=set)
    #: Downloads of whole files, by name.
    requests: Counter[str] = field(default_factory=Counter)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: Any) -> None:
        """Tests print nothing."""

    def _answer(self, *, body: bool) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if self.hub.failures > 0:
            self.hub.failures -= 1
            self._send(503, b"", {}, body=body)
        elif parts[:2] in (["api", "models"], ["api", "datasets"]):
            self._repository(parts[2:], body=body)
        elif parts[0] == "datasets" and len(parts) >= 6 and parts[3] == "resolve":
            self._file("/".join(parts[1:3]), parts[4], "/".join(parts[5:]), body=body)
        elif len(parts) >= 5 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], parts[4], body=body)
        else:
            self._send(404, b"", {}, body=body)

    def _refused(self, repository: str, revision: str, *, body: bool) -> bool:
        token = self.hub.gated.get(repository)
        if not (self.hub.folder / repository).is_dir():
            self._send(401, b"", {"X-Error-Code": "RepoNotFound"}, body=body)
        elif token is not None and self.headers.get("Authorization") != f"Bearer {token}":
            self._send(403, b"", {"X-Error-Code": "GatedRepo"}, body=body)
        elif revision not in {COMMIT, *self.hub.branches}:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body=body)
        else:
            return False
        return True

    def _repository(self, parts: list[str], *, body: bool) -> None:
        repository = "/".join(parts[:2])
        revision = parts[3] if len(parts) > 3 and parts[2] == "revision" else "main"
        if self._refused(repository, revision, body=body):
            return
        siblings = []
        folder = self.hub.folder / repository
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = str(path.relative_to(folder))
            entry: dict[str, Any] = {"rfilename": name, "size": path.stat().st_size, "blobId": f"blob of {name}"}
            if path.suffix in (".safetensors", ".parquet"):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": path.stat().st_size, "pointerSize": 134}
            siblings.append(entry)
        answer = {"id": repository, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"}, body=body)

    def _file(self, repository: str, revision: str, name: str, *, body: bool) -> None:
        if self._refused(repository, revision, body=body):
            return
        path = self.hub.folder / repository / name
        if not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)
            return
        content = path.read_bytes()
        headers = {"ETag": f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if body and "Range" not in self.headers:
            self.hub.requests[name] += 1
        if name in self.hub.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            end = min(int(last) + 1 if last else len(content), len(content))
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
            self._send(206, content[int(first) : end], headers, body=body)
            return
        self._send(200, content, headers, body=body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@contextmanager
def hub_server(folder: Path, context: ssl.SSLContext | None = None) -> Iterator[Hub]:
    """Serve the repositories below `folder`; with TLS where there is a context."""
    hub = Hub(folder)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        hub.endpoint = hub.endpoint.replace("http", "https", 1)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
