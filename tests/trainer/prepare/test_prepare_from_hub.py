"""Models from the Hub, over HTTP with its real client: pinned, verified, and refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.report import Report
from lora_trainer import model_files
from lora_trainer import store as stores
from lora_trainer.errors import TrainerError
from support.chat_models import save_model
from support.hub_server import COMMIT, Hub, hub_server
from support.prepare_orders import Place, place

MODEL = "microsoft/Phi-4-mini-instruct"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    save_model(tmp_path / "hub" / MODEL)
    (tmp_path / "hub" / MODEL / "modeling_phi3.py").write_text("raise SystemExit")
    (tmp_path / "hub" / MODEL / "pytorch_model.bin").write_bytes(b"pickle")
    with hub_server(tmp_path / "hub") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        yield server


def _run(folder: Path, **changes: Any) -> Place:
    return place(folder, **({"model__source": None, "model__revision": COMMIT} | changes))


def _refusal(run: Place) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        run.prepare()
    return raised.value


def test_a_pinned_model_is_prepared_from_its_small_files_and_headers(hub: Hub, tmp_path: Path) -> None:
    report: Report = _run(tmp_path).prepare()

    assert report.plan is not None
    assert report.plan.model_commit == COMMIT
    assert report.plan.memory_bytes > 0
    assert not hub.requests["modeling_phi3.py"]
    assert not hub.requests["pytorch_model.bin"]


def test_a_floating_revision_is_resolved_and_kept_for_training(hub: Hub, tmp_path: Path) -> None:
    run = _run(tmp_path, model__revision=None, model__allowFloatingRevision=True)

    report = run.prepare()
    order = run.order.model_copy(update={"stage": "train", "plan": report.plan})
    staged = model_files.stage(order, stores.from_environment(2), tmp_path / "whole")

    assert staged.commit == COMMIT
    name = "model.safetensors"
    assert (staged.path / name).read_bytes() == (tmp_path / "hub" / MODEL / name).read_bytes()
    assert sorted(path.name for path in staged.path.iterdir() if path.is_dir()) == []


def test_a_branch_that_moved_since_prepare_is_not_followed_by_training(hub: Hub, tmp_path: Path) -> None:
    hub.branches.add("stable")
    run = _run(tmp_path, model__revision="stable", model__allowFloatingRevision=True)
    report = run.prepare()
    hub.branches.remove("stable")

    order = run.order.model_copy(update={"stage": "train", "plan": report.plan})
    staged = model_files.stage(order, stores.from_environment(2), tmp_path / "whole")

    assert staged.commit == COMMIT


def test_a_cached_model_is_downloaded_once(hub: Hub, tmp_path: Path) -> None:
    run = _run(tmp_path, cache=str(tmp_path / "cache"))

    run.prepare()
    run.prepare()

    assert hub.requests["model.safetensors"] == 1


def test_a_hub_that_fails_for_a_while_is_asked_again(hub: Hub, tmp_path: Path) -> None:
    hub.failures = 2

    assert _run(tmp_path).prepare().plan is not None


def test_weights_that_arrive_damaged_are_not_accepted(hub: Hub, tmp_path: Path) -> None:
    hub.damaged.add("model.safetensors")

    refusal = _refusal(_run(tmp_path, cache=str(tmp_path / "cache")))

    assert refusal.exit_code is ExitCode.UNAVAILABLE
    assert "model.safetensors of microsoft/Phi-4-mini-instruct arrived damaged" in refusal.message
    assert not [path for path in (tmp_path / "cache" / "models").iterdir() if path.name.endswith(COMMIT)]


def test_a_gated_model_asks_for_a_token(hub: Hub, tmp_path: Path) -> None:
    hub.gated[MODEL] = "hf_secret"

    refusal = _refusal(_run(tmp_path))

    assert refusal.exit_code is ExitCode.ACCESS_DENIED
    assert refusal.param == "spec.model.tokenSecretName"
    assert f"{MODEL} is gated" in refusal.message


def test_a_gated_model_is_read_with_the_token(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.gated[MODEL] = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    assert _run(tmp_path).prepare().plan is not None


@pytest.mark.parametrize(
    ("changes", "param", "words"),
    [
        ({"model__id": "microsoft/nothing"}, "spec.model.id", "the Hub has no model microsoft/nothing"),
        ({"model__revision": "0" * 40}, "spec.model.revision", f"has no revision {'0' * 40}"),
    ],
)
def test_a_model_or_revision_that_is_not_there_names_its_field(
    changes: dict[str, str], param: str, words: str, hub: Hub, tmp_path: Path
) -> None:
    refusal = _refusal(_run(tmp_path, **changes))

    assert refusal.exit_code is ExitCode.INPUT_MISSING
    assert refusal.param == param
    assert words in refusal.message


def test_a_token_that_is_exchanged_after_prepare_ends_the_train_pod_so_that_a_new_one_reads_the_secret(
    hub: Hub, tmp_path: Path
) -> None:
    run = _run(tmp_path)
    order = run.order.model_copy(update={"stage": "train", "plan": run.prepare().plan})
    hub.gated[MODEL] = "hf_new"

    with pytest.raises(TrainerError, match="is gated, for 2 s, though it worked before") as raised:
        model_files.stage(order, stores.from_environment(2), tmp_path / "whole")

    assert raised.value.exit_code is ExitCode.UNAVAILABLE
    assert raised.value.param == "spec.model.tokenSecretName"


def test_a_token_that_no_request_can_carry_is_not_waited_for(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_sécret")

    refusal = _refusal(_run(tmp_path))

    assert refusal.exit_code is ExitCode.ACCESS_DENIED
    assert refusal.message == "HF_TOKEN holds a character that is no ASCII"
