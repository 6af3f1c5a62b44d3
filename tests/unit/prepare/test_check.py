"""`prepare --check`: reads the data again and compares it with the manifest of the published adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from lora_contract.names import ENV_ORDER, ENV_TERMINATION_LOG
from lora_contract.report import decode
from lora_trainer.command.command_line import run
from lora_trainer.errors import TrainerError
from lora_trainer.ledger.claims import take_claim
from lora_trainer.prepare.check import check
from lora_trainer.store import from_environment
from support.prepare_orders import Place, place, publish_adapter
from support.prepared_data import chat, lines


def published(folder: Path) -> Place:
    """A run whose adapter is published; its order asks for a check."""
    prepared = place(folder)
    report = prepared.prepare()
    assert report.plan is not None
    layout = prepared.layout(report)
    claim = take_claim(from_environment(2), layout, "1")
    publish_adapter(folder, layout, claim, dataset_digest=str(report.plan.dataset_digest))
    order = prepared.order.model_copy(update={"stage": "check", "run_id": layout.run_id})
    return Place(folder, order)


def test_the_same_data_has_not_drifted(tmp_path: Path) -> None:
    report = check(published(tmp_path).order, from_environment(2))

    assert report.inputs_drifted is False
    assert report.stage == "check"


def test_other_data_at_the_same_address_has_drifted(tmp_path: Path) -> None:
    run = published(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(lines([chat("Another question?", "Another answer.")]))

    report = check(run.order, from_environment(2))

    assert report.inputs_drifted is True
    assert len(str(report.dataset_digest)) == 64


def test_the_check_leaves_nothing_behind(tmp_path: Path) -> None:
    run = published(tmp_path)
    before = sorted(path for path in (tmp_path / "output").rglob("*"))

    check(run.order, from_environment(2))

    assert sorted(path for path in (tmp_path / "output").rglob("*")) == before
    assert not list((tmp_path / "scratch").iterdir())


def test_data_that_is_gone_is_told(tmp_path: Path) -> None:
    run = published(tmp_path)
    (tmp_path / "rows.jsonl").unlink()

    with pytest.raises(TrainerError, match="there is nothing at") as raised:
        check(run.order, from_environment(2))

    assert raised.value.exit_code == ExitCode.INPUT_MISSING


def test_an_adapter_that_is_gone_is_told(tmp_path: Path) -> None:
    order = published(tmp_path).order.model_copy(update={"run_id": "0" * 32})

    with pytest.raises(TrainerError, match="not published"):
        check(order, from_environment(2))


def test_the_pod_runs_it_as_prepare_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_ORDER, published(tmp_path).order.model_dump_json(by_alias=True))
    monkeypatch.setenv(ENV_TERMINATION_LOG, str(tmp_path / "termination-log"))

    assert run(["prepare", "--check"]) == ExitCode.DONE

    report = decode((tmp_path / "termination-log").read_text())
    assert report is not None
    assert report.inputs_drifted is False
