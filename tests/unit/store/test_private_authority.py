"""S3 and the Hub behind a certificate of the platform's own authority: trusted once a pod is given its file."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from support.hub_server import hub_server
from support.job_manifests import container, jobs

_LIST = """
from lora_trainer.errors import TrainerError
from lora_trainer.store.s3 import S3Store
try:
    print([found.uri for found in S3Store(5).list("s3://datasets/")])
except TrainerError as error:
    print(error)
"""
_ASK = """
import os
from huggingface_hub import HfApi
try:
    print(HfApi(endpoint=os.environ["HF_ENDPOINT"]).model_info("team/model").sha)
except Exception as error:
    print(error)
"""
_EMPTY = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><KeyCount>0</KeyCount></ListBucketResult>'


class _Bucket(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(_EMPTY)))
        self.end_headers()
        self.wfile.write(_EMPTY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def s3_endpoint(context: ssl.SSLContext) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Bucket)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def variables_of_a_pod(bundle: Path) -> dict[str, str]:
    """The variables by which a pod finds the file, with its place on this machine."""
    prepare, _ = jobs(ca_bundle={"configMap": "corporate-ca"})
    (mount,) = [each for each in container(prepare)["volumeMounts"] if each["name"] == "ca-bundle"]
    file = f"{mount['mountPath']}/ca.crt"
    return {each["name"]: str(bundle) for each in container(prepare)["env"] if each.get("value") == file}


def said_by(program: str, variables: dict[str, str]) -> str:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HF_", "SSL_"))}
    done = subprocess.run(
        [sys.executable, "-c", program], env=known | variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_s3_is_trusted_with_the_platforms_authorities_and_only_then(
    s3_endpoint: str, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "bundle.pem")
    access = {"AWS_ENDPOINT_URL_S3": s3_endpoint, "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "x"}

    assert "the certificate of the S3 endpoint is not trusted" in said_by(_LIST, access)
    assert said_by(_LIST, access | variables_of_a_pod(tmp_path / "bundle.pem")) == "[]\n"


def test_the_hub_is_trusted_with_the_platforms_authorities_and_only_then(
    context: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "bundle.pem")
    (tmp_path / "team" / "model").mkdir(parents=True)
    with hub_server(tmp_path, context) as hub:
        access = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}

        assert "CERTIFICATE_VERIFY_FAILED" in said_by(_ASK, access)
        trusted = said_by(_ASK, access | variables_of_a_pod(tmp_path / "bundle.pem"))
        assert trusted.strip() == "5a149550068a1eb93398160d8953f5f56c3603e9"
