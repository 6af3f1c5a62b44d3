"""Progress reports: who may send them, how much, and that a stock transformers callback is understood."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubernetes import client

from lora_contract import names
from lora_contract.conditions import ConditionType
from lora_contract.progress import MAX_BODY_BYTES
from support.api_server import eventually, make_namespace
from support.pods import prepared, trained
from support.progress_endpoint import REPORT, Endpoint
from support.runs import Runs


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
    assert (code, message) == (400, "trainerStatus: is missing; it has no default")
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
