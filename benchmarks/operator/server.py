"""Plain requests to the API server: typed clients would cost more than what is measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import client

from lora_contract import names
from support.api_server import manifest
from support.specs import BASE


@dataclass(frozen=True)
class Server:
    """One namespace of an API server."""

    api: client.ApiClient
    namespace: str

    def apply(self, name: str) -> None:
        """Create a run."""
        self._send("POST", f"/apis/{names.GROUP}/{names.VERSION}", names.PLURAL, manifest(name, BASE))

    def patch_pod(self, name: str, patch: dict[str, Any]) -> None:
        """Write into the status of a pod."""
        self._send("PATCH", "/api/v1", f"pods/{name}/status", patch, "application/merge-patch+json")

    def _send(
        self, method: str, root: str, what: str, body: dict[str, Any], content_type: str = "application/json"
    ) -> None:
        pool: urllib3.PoolManager = self.api.rest_client.pool_manager
        answer = pool.request(
            method,
            f"{self.api.configuration.host}{root}/namespaces/{self.namespace}/{what}",
            body=json.dumps(body),
            headers={"Content-Type": content_type},
        )
        if answer.status >= 300:
            raise RuntimeError(f"{method} {what}: {answer.status} {answer.data[:300]!r}")
