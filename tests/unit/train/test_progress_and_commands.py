"""What the outside sees of a trainer: progress, orders, the local command."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lora_contract import names
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.progress import ProgressReport
from lora_contract.report import Report, decode
from lora_trainer import progress
from lora_trainer.command import local, stage
from lora_trainer.data.profile import DataProfile
from lora_trainer.errors import TrainerError, bad_config, bad_data
from lora_trainer.ledger.attempts import AttemptRecord, trained_seconds
from lora_trainer.progress import ProgressPoster
from lora_trainer.train.documents import all_warnings
from support.specs import BASE, changed


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


@pytest.mark.parametrize(("order", "words"), [("", "is empty"), ("{", "Invalid JSON"), ('{"stage": "x"}', "stage")])
def test_an_order_that_cannot_be_understood_ends_in_words(
    order: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(names.ENV_ORDER, order)
    monkeypatch.setenv(names.ENV_TERMINATION_LOG, str(tmp_path / "message"))
    assert stage.run_stage("train") == ExitCode.BAD_CONFIG
    report = decode((tmp_path / "message").read_text())
    assert report is not None
    assert report.error is not None
    assert words in report.error.message


def test_the_local_command_names_every_wrong_field(tmp_path: Path) -> None:
    path = tmp_path / "finetune.yaml"
    document = {
        "kind": names.KIND,
        "metadata": {"name": "x"},
        "spec": {
            "model": {"id": "a/b", "allowFloatingRevision": True},
            "training": {"maxSteps": 0},
            "lora": {"rank": 8},
        },
    }
    path.write_text(json.dumps(document))
    with pytest.raises(TrainerError) as caught:
        local.read(path)
    for field in ("spec.dataset", "spec.output", "spec.training.maxSteps", "spec.lora.rank"):
        assert field in caught.value.message


@pytest.mark.parametrize("text", ["", "a: [", "kind: Other\n"])
def test_the_local_command_says_when_a_file_holds_no_finetune(text: str, tmp_path: Path) -> None:
    path = tmp_path / "finetune.yaml"
    path.write_text(text)
    with pytest.raises(TrainerError) as caught:
        local.read(path)
    assert caught.value.exit_code is ExitCode.BAD_CONFIG
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("gpus", "device", "allow_cpu", "expected"),
    [
        (1, "null", "", pytest.raises(TrainerError, match="no NVIDIA device")),
        (1, "nvidiactl", "", pytest.raises(TrainerError, match="no NVIDIA device")),
        (1, "nvidia0", "", nullcontext()),
        (1, "dxg", "", nullcontext()),
        (1, "null", "1", nullcontext()),
        (0, "null", "", nullcontext()),
    ],
)
def test_the_local_command_refuses_a_run_for_a_gpu_that_is_not_there_before_it_reads_data(  # noqa: PLR0917
    gpus: int, device: str, allow_cpu: str, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(names.ENV_ALLOW_CPU, allow_cpu)
    (tmp_path / device).touch()
    spec = LoRAFineTuneSpec.model_validate(changed({"compute.gpus": gpus}))
    with expected:
        local.check_gpu(spec, tmp_path)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (bad_data("rows.jsonl, line 4: is not JSON", param="rows.jsonl:4"), "rows.jsonl, line 4: is not JSON"),
        (bad_config("must be odd", param="spec.lora.r", hint="add 1"), "spec.lora.r: must be odd"),
        (bad_config("spec.lora.r: must be odd", param="spec.lora.r"), "spec.lora.r: must be odd"),
        (bad_config("lora.r must be odd", param="spec.lora.r"), "lora.r must be odd"),
        (bad_config("no model is there", param="spec.model"), "spec.model: no model is there"),
        (bad_config("is empty"), "is empty"),
    ],
)
def test_a_place_is_said_once(error: TrainerError, said: str) -> None:
    assert stage.wrong(error) == said


@pytest.mark.parametrize(("missed", "code"), [(None, 0), ("test loss 2.0 is above gate.maxTestLoss 1", 1)])
def test_a_missed_gate_shows_in_the_exit_code(
    missed: str | None, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "finetune.yaml"
    spec = changed({"compute": {"gpus": 0}})
    run = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "triage"}, "spec": spec}
    path.write_text(json.dumps(run))
    report = Report(stage="prepare", run_id="0" * 32, adopted=True, gate_failed=missed)
    monkeypatch.setattr(local, "carry_out", lambda order: report)
    assert local.run_file(path) == code


def test_the_local_command_says_that_a_sweep_needs_the_operator(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(json.dumps({"apiVersion": names.API_VERSION, "kind": names.SWEEP_KIND, "metadata": {"name": "x"}}))
    with pytest.raises(TrainerError, match="has a LoRASweep and no LoRAFineTune") as caught:
        local.read(path)
    assert "operator" in str(caught.value.hint)


def test_a_run_in_a_list_is_found_too(tmp_path: Path) -> None:
    path = tmp_path / "finetune.yaml"
    run = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "triage"}, "spec": BASE}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Secret"}, run]}))
    assert local.read(path)[0] == "triage"


def test_of_two_runs_in_a_file_none_is_left_out_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "finetune.yaml"
    run = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "triage"}, "spec": BASE}
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [run, run]}))
    with pytest.raises(TrainerError, match="has 2 of kind LoRAFineTune"):
        local.read(path)


def test_training_time_is_that_of_all_attempts_and_nothing_else() -> None:
    hours = [("08:00", "09:00"), ("11:00", "11:30")]
    records = [
        AttemptRecord(claim=number, start_time=f"2026-03-14T{begin}:00Z", last_time=f"2026-03-14T{end}:00Z")
        for number, (begin, end) in enumerate(hours)
    ]
    assert trained_seconds(records) == 90 * 60


def test_documents_repeat_what_prepare_warned_of() -> None:
    profile = DataProfile(format="messages", warnings=["columns that are not used: score", "both say this"])
    assert all_warnings(profile, ["both say this", "the adapter forgets"]) == [
        "columns that are not used: score",
        "both say this",
        "the adapter forgets",
    ]
    assert all_warnings(None, ["the adapter forgets"]) == ["the adapter forgets"]
