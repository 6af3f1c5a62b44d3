"""The progress endpoint of an operator as a pod sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
import urllib3
from kubernetes import client

from lora_contract import names
from support.operator import StartOperator, free_port

REPORT = {"trainerStatus": {"progressPercentage": 25, "metrics": [{"name": "step", "value": "10"}]}}


@dataclass
class Endpoint:
    """Address and certificate authority, and tokens such as pods have."""

    url: str
    authority: Path
    api: client.ApiClient
    namespace: str

    def address(self, run: str, namespace: str | None = None) -> str:
        """Where the reports of a run go."""
        return self.url + names.progress_path(namespace or self.namespace, run)

    def token(self, pod: client.V1Pod | None, audience: str = names.PROGRESS_AUDIENCE) -> str:
        """A token such as the kubelet projects into a pod."""
        bound = None
        if pod is not None:
            meta = pod.metadata
            bound = {"apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid}
        spec = {"audiences": [audience], "expirationSeconds": 600, "boundObjectRef": bound}
        answer = client.CoreV1Api(self.api).create_namespaced_service_account_token(
            "default", self.namespace, {"spec": spec}
        )
        token: str = answer.status.token
        return token

    def post(self, address: str, token: str | None, body: Any = REPORT) -> tuple[int, str]:
        """The status and message of the answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        with urllib3.PoolManager(ca_certs=str(self.authority), retries=False) as pool:
            answer = pool.request("POST", address, body=data, headers=headers, timeout=10)
        return answer.status, str(answer.json().get("message", ""))


def serve(start_operator: StartOperator, api: client.ApiClient, namespace: str, directory: Path) -> Endpoint:
    """Start an operator with a progress endpoint whose certificate lies in a directory."""
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost", "127.0.0.1")
    authority, chain, key = directory / "ca.crt", directory / "progress.crt", directory / "progress.key"
    ca.cert_pem.write_to_path(authority)
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    start_operator(
        PROGRESS_URL=url,
        PROGRESS_CA_FILE=str(authority),
        PROGRESS_HOST="127.0.0.1",
        PROGRESS_PORT=str(port),
        TLS_CERT_FILE=str(chain),
        TLS_KEY_FILE=str(key),
    )
    return Endpoint(url, authority, api, namespace)
