"""A run that names no credentials wants those of the node it lands on."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.order import Order
from lora_trainer.command.stage import carry_out
from lora_trainer.errors import TrainerError
from support.run_story import given_training

CREDENTIALS = {
    "Code": "Success",
    "AccessKeyId": "AKIDOFTHENODE",
    "SecretAccessKey": "secret-of-the-node",
    "Token": "token",
    "Expiration": "2099-01-01T00:00:00Z",
}


@dataclass
class MetadataService:
    """What answers at 169.254.169.254 on a node of AWS, and at the address of EKS Pod Identity; here on loopback."""

    url: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def service() -> Iterator[MetadataService]:
    """The service; `asked` are the paths that were requested."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._answer("token")

        def do_GET(self) -> None:
            names_the_role = self.path.endswith("/security-credentials/")
            self._answer("role-of-the-node" if names_the_role else json.dumps(CREDENTIALS))

        def _answer(self, text: str) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield MetadataService(f"http://127.0.0.1:{server.server_port}", asked)
    server.shutdown()
    server.server_close()


@pytest.fixture
def in_pod(service: MetadataService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Takes the environment of a run's prepare pod, on a node with a metadata service; its order."""

    def enter(changes: dict[str, Any], **platform: Any) -> Order:
        (container,) = given_training(changes, **platform).job("prepare")["spec"]["template"]["spec"]["containers"]
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for variable in container["env"]:
            if "value" in variable:
                monkeypatch.setenv(variable["name"], variable["value"])
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        return Order.model_validate_json(os.environ["LORA_ORDER"])

    return enter


def test_a_run_without_credentials_ends_in_prepare_and_is_told_what_to_name(
    service: MetadataService, in_pod: Any
) -> None:
    # A run that names neither Secret nor ServiceAccount, on a node with a role that may use the bucket
    order = in_pod({})
    # Its pod does its work
    with pytest.raises(TrainerError) as refused:
        carry_out(order)
    # It ends with what to set, and the node was not asked for its keys
    assert refused.value.exit_code is ExitCode.ACCESS_DENIED
    assert refused.value.param == "spec.storage.secretName"
    assert "spec.storage.secretName" in str(refused.value.hint)
    assert "spec.storage.serviceAccountName" in str(refused.value.hint)
    assert service.asked == []


def test_a_platform_that_opts_in_lends_the_nodes_identity(service: MetadataService, in_pod: Any) -> None:
    in_pod({}, allow_node_identity=True)
    credentials = boto3.Session().get_credentials()
    assert credentials is not None
    assert credentials.access_key == CREDENTIALS["AccessKeyId"]
    assert service.asked


def test_the_identity_of_a_service_account_is_found_all_the_same(
    service: MetadataService, in_pod: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An account with EKS Pod Identity, whose webhook sets this variable
    in_pod({"storage.serviceAccountName": "trainer"})
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/v1/credentials")
    # Its keys are used, and only its address was asked
    credentials = boto3.Session().get_credentials()
    assert credentials is not None
    assert credentials.access_key == CREDENTIALS["AccessKeyId"]
    assert set(service.asked) == {"/v1/credentials"}
