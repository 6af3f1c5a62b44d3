"""A kubelet that does nothing but tell the API server what containers said, over TLS as a real one."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme
from kubernetes import client


@dataclass
class KubeletLogs:
    """One node. `said`: what the container of each pod says."""

    api: client.ApiClient
    node: str
    said: dict[str, str] = field(default_factory=dict)

    def takes(self, pod: client.V1Pod, text: str) -> None:
        """Bind a pod to the node, and let its container say something."""
        self.said[pod.metadata.name] = text
        target = client.V1ObjectReference(api_version="v1", kind="Node", name=self.node)
        binding = client.V1Binding(metadata=client.V1ObjectMeta(name=pod.metadata.name), target=target)
        # The client cannot read the answer, which is a Status and no Binding.
        client.CoreV1Api(self.api).create_namespaced_binding(pod.metadata.namespace, binding, _preload_content=False)


@contextmanager
def kubelet_logs(api: client.ApiClient, node: str) -> Iterator[KubeletLogs]:
    """Be a node of the cluster while the context lasts."""
    kubelet = KubeletLogs(api, node)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer /containerLogs/NAMESPACE/POD/CONTAINER."""
            path, _, query = self.path.partition("?")
            pod = path.split("/")[3]
            stamp = "2026-03-02T14:30:00.123456789Z " if "timestamps=true" in query else ""
            self.send_response(200 if pod in kubelet.said else 404)
            self.end_headers()
            self.wfile.write((stamp + kubelet.said.get(pod, "")).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class has it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    core = client.CoreV1Api(api)
    core.create_node({"metadata": {"name": node}})
    endpoints = {"kubeletEndpoint": {"Port": server.server_port}}
    status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": endpoints}
    core.patch_node_status(node, {"status": status})
    try:
        yield kubelet
    finally:
        core.delete_node(node)
        server.shutdown()
        server.server_close()
