"""An API server that only answers: fixed objects, Events, pods and logs over HTTP, for tests of the command line."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from lora_contract import names

_RUNS = f"/apis/{names.GROUP}/{names.VERSION}"
Answer = tuple[int, Any]


@dataclass
class StubCluster:
    """What the server knows. `refusals`: status and message by the end of a path, instead of an answer."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    sweeps: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    pods: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    #: Objects of an S3 service at the same port, by their address without s3:/.
    objects: dict[str, bytes] = field(default_factory=dict)
    secret: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, Answer] = field(default_factory=dict)
    #: Method, path and body of each request that would write.
    written: list[tuple[str, str, Any]] = field(default_factory=list)
    url: str = ""

    def write_kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig whose context is called `demo`, with the namespace team-a."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "demo",
            "clusters": [{"name": "demo", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": "t"}}],
            "contexts": [{"name": "demo", "context": {"cluster": "demo", "user": "me", "namespace": "team-a"}}],
        }
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """Answer one request: status, and an object or text."""
        for end, refusal in self.refusals.items():
            if path.endswith(end):
                return refusal
        return self._read(path, query) if method == "GET" else self._write(method, path, body)

    def _write(self, method: str, path: str, body: Any) -> Answer:
        self.written.append((method, path, body))
        found = next(self._runs_at(path), None)
        if method == "POST" or found is None:
            return 200, body
        found["spec"] |= body["spec"]
        return 200, found

    def _read(self, path: str, query: dict[str, str]) -> Answer:
        if path in self.objects:
            return 200, self.objects[path]
        *_, parent, last = path.split("/")
        if parent == "secrets":
            return 200, {"data": {name: base64.b64encode(text.encode()).decode() for name, text in self.secret.items()}}
        if last == "log":
            return (200, self.logs[parent]) if parent in self.logs else (404, "there is no log")
        if last == "events":
            uid = query["fieldSelector"].removeprefix("involvedObject.uid=")
            return 200, {"items": [each for each in self.events if each["involvedObject"]["uid"] == uid]}
        if last == "pods":
            key, _, name = query["labelSelector"].partition("=")
            return 200, {"items": [each for each in self.pods if each["metadata"]["labels"].get(key) == name]}
        if last == names.PLURAL:
            return 200, _page(list(_selected(self._runs_at(path), query.get("labelSelector", ""))), query)
        objects = self.sweeps if parent == names.SWEEP_PLURAL else self.runs
        found = next(self._runs_at(path.replace(f"/{names.SWEEP_PLURAL}/", f"/{names.PLURAL}/"), objects), None)
        return (200, found) if found is not None else (404, {"message": f'{names.PLURAL} "{path}" not found'})

    def _runs_at(self, path: str, objects: list[dict[str, Any]] | None = None) -> Iterator[dict[str, Any]]:
        """The runs of a namespace, or the one of a name, or all."""
        parts = path.removeprefix(_RUNS).strip("/").split("/")
        namespace = parts[1] if parts[0] == "namespaces" else ""
        name = parts[3] if len(parts) > 3 else ""
        for run in self.runs if objects is None else objects:
            metadata = run["metadata"]
            if namespace in ("", metadata["namespace"]) and name in ("", metadata["name"]):
                yield run


@contextmanager
def serving(cluster: StubCluster) -> Iterator[StubCluster]:
    """Serve on a loopback port while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            query = {key: values[-1] for key, values in parse_qs(url.query).items()}
            status, value = cluster.answer(self.command, url.path, query, body)
            text = (
                value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = _handle  # noqa: N815 - names of the base class

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class has it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()


def _selected(items: Iterable[dict[str, Any]], selector: str) -> Iterator[dict[str, Any]]:
    """Those with a label, as `key=value` says."""
    key, _, value = selector.partition("=")
    return (item for item in items if not key or item["metadata"].get("labels", {}).get(key) == value)


def _page(items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """A page of a list, as the API server cuts it."""
    start, limit = int(query.get("continue", 0)), int(query.get("limit", len(items)))
    rest = str(start + limit) if start + limit < len(items) else ""
    return {"items": items[start : start + limit], "metadata": {"continue": rest}}
