"""Progress reports: who may send them, how much, and that a stock transformers callback is understood."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
from kubernetes import client

from lora_cluster.certificates import Authority
from lora_contract import names
from lora_contract.progress import MAX_BODY_BYTES
from lora_contract.status import ConditionType
from support.api_server import eventually, make_namespace
from support.operator import StartOperator, free_port
from support.pods import prepared, trained
from support.runs import Runs

REPORT = {"trainerStatus": {"progressPercentage": 25, "metrics": [{"name": "step", "value": "10"}]}}


@dataclass
class Endpoint:
    """The progress endpoint as a pod sees it."""

    url: str
    authority: Path
    api: client.ApiClient
    namespace: str

    def address(self, run: str, namespace: str | None = None) -> str:
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


@pytest.fixture
def endpoint(api: client.ApiClient, start_operator: StartOperator, namespace: str, tmp_path: Path) -> Endpoint:
    authority = Authority.create(tmp_path / "pki")
    authority.issue("progress", "progress", dns_names=("localhost",), addresses=["127.0.0.1"])
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    start_operator(
        PROGRESS_URL=url,
        PROGRESS_CA_FILE=str(tmp_path / "pki" / "ca.crt"),
        PROGRESS_HOST="127.0.0.1",
        PROGRESS_PORT=str(port),
        TLS_CERT_FILE=str(tmp_path / "pki" / "progress.crt"),
        TLS_KEY_FILE=str(tmp_path / "pki" / "progress.key"),
    )
    return Endpoint(url, tmp_path / "pki" / "ca.crt", api, namespace)


@pytest.fixture
def train_pod(runs: Runs, endpoint: Endpoint) -> client.V1Pod:
    """A pod that trains for the run `triage`."""
    client.CoreV1Api(runs.api).read_namespaced_service_account("default", runs.namespace)
    runs.apply("triage")
    runs.pods.run("triage", names.STAGE_PREPARE, prepared())
    pod = runs.pods.appears("triage", names.STAGE_TRAIN)
    runs.pods.starts(pod)
    runs.in_phase("triage", "Running")
    return pod


def test_a_report_of_the_train_pod_is_seen_on_the_object(
    runs: Runs, endpoint: Endpoint, train_pod: client.V1Pod
) -> None:
    code, _ = endpoint.post(endpoint.address("triage"), endpoint.token(train_pod))
    assert code == 200
    eventually("it is on the object", lambda: runs.status("triage").progress is not None)
    progress = runs.status("triage").progress
    assert progress is not None
    assert (progress.step, progress.total_steps, progress.percent) == (10, 40, 25)


def test_nobody_else_may_report(runs: Runs, endpoint: Endpoint, train_pod: client.V1Pod) -> None:
    address = endpoint.address("triage")
    assert endpoint.post(address, None)[0] == 401
    assert endpoint.post(address, "not-a-token")[0] == 401
    assert endpoint.post(address, endpoint.token(train_pod, "https://kubernetes.default.svc"))[0] == 401
    assert endpoint.post(address, endpoint.token(None))[0] == 401, "a token that no pod holds"
    assert endpoint.post(endpoint.address("another"), endpoint.token(train_pod))[0] == 404
    elsewhere = make_namespace(runs.api)
    assert endpoint.post(endpoint.address("triage", elsewhere), endpoint.token(train_pod))[0] == 404

    prepare_pod = runs.pods.all("triage", names.STAGE_PREPARE)
    foreign = client.CoreV1Api(runs.api).create_namespaced_pod(
        runs.namespace,
        {"metadata": {"name": "foreign"}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    )
    for pod in (foreign, *prepare_pod):
        code, message = endpoint.post(address, endpoint.token(pod))
        assert code == 403, message
    assert runs.status("triage").progress is None


def test_a_pod_of_an_earlier_attempt_may_not_report(runs: Runs, endpoint: Endpoint, train_pod: client.V1Pod) -> None:
    token = endpoint.token(train_pod)
    runs.pods.ends(train_pod, trained())
    runs.reaches("triage", ConditionType.COMPLETE)
    code, message = endpoint.post(endpoint.address("triage"), token)
    assert code in (401, 403), message


def test_what_is_too_much_or_not_understood_is_refused_in_words(endpoint: Endpoint, train_pod: client.V1Pod) -> None:
    address, token = endpoint.address("triage"), endpoint.token(train_pod)
    code, message = endpoint.post(address, token, b"{}")
    assert (code, message) == (400, "trainerStatus: Field required")
    code, message = endpoint.post(address, token, b" " * (MAX_BODY_BYTES + 1))
    assert (code, message) == (413, f"a report has at most {MAX_BODY_BYTES} bytes")
    assert endpoint.post(endpoint.url + "/elsewhere", token)[0] == 404
    codes = [endpoint.post(address, token)[0] for _ in range(8)]
    assert 429 in codes, "one a second, five at once"


def test_a_stock_callback_of_transformers_is_understood(
    runs: Runs, endpoint: Endpoint, train_pod: client.V1Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.integrations.integration_utils import KubeflowCallback  # noqa: PLC0415 - heavy

    (tmp_path / "token").write_text(endpoint.token(train_pod))
    monkeypatch.setenv(names.ENV_PROGRESS_URL, endpoint.address("triage"))
    monkeypatch.setenv(names.ENV_PROGRESS_TOKEN, str(tmp_path / "token"))
    monkeypatch.setenv(names.ENV_PROGRESS_CA, str(endpoint.authority))
    callback = KubeflowCallback()
    state = transformers.TrainerState(max_steps=40, global_step=0)
    callback.on_train_begin(None, state, None)
    callback.on_log(None, state, None, logs={"loss": 1.5})
    callback.on_train_end(None, state, None)
    eventually("it is on the object", lambda: (runs.status("triage").progress or REPORT) is not REPORT)
    eventually("with the loss", lambda: getattr(runs.status("triage").metrics, "train_loss", None) == "1.5000")
