"""A template that writes today's date: pinned for the run by its first preparation, part of its identity, shown."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lora_contract.layout import PLAN
from lora_contract.report import Report
from lora_contract.status import PlanStatus
from lora_trainer.data import prepared
from lora_trainer.data.profile import DataProfile
from lora_trainer.prepare import template_date
from support.chat_models import CHATML
from support.chat_templates import save_model_with
from support.prepare_orders import Place, place

DATED = "{{ '<|im_start|>system\n' + strftime_now('%d %B %Y') + '<|im_end|>\n' }}" + CHATML


@pytest.fixture
def run(tmp_path: Path) -> Place:
    save_model_with(tmp_path / "model", DATED)
    return place(tmp_path)


def _prepare_on(day: date, run: Place, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(template_date, "today", lambda: day)
    return run.prepare()


def _plan(report: Report) -> PlanStatus:
    assert report.plan is not None
    return report.plan


def test_the_date_is_rendered_and_shown(run: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    report = _prepare_on(date(2026, 11, 30), run, monkeypatch)

    assert _plan(report).template_date == "2026-11-30"
    assert PlanStatus.model_validate_json(run.prepared(report, PLAN).read_bytes()).template_date == "2026-11-30"
    assert any("in this run it is 2026-11-30" in warning for warning in report.warnings)
    profile = DataProfile.model_validate_json(run.prepared(report, prepared.PROFILE).read_bytes())
    assert "30 November 2026" in "".join(segment.text for segment in profile.first_example)
    # the prompts that train lets the models answer are tokens, so no other pod renders anything
    assert pq.read_table(run.prepared(report, prepared.TEST)).num_rows == _plan(report).test_rows > 0


def test_a_run_prepared_again_on_another_day_keeps_its_date(run: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _prepare_on(date(2026, 11, 30), run, monkeypatch)
    run.prepared(first, PLAN).unlink()  # as if the first pod was lost before the end

    second = _prepare_on(date(2026, 12, 1), run, monkeypatch)

    assert second == first
    assert _prepare_on(date(2026, 12, 2), run, monkeypatch).run_id == first.run_id


def test_a_new_run_token_takes_a_new_date(run: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _prepare_on(date(2026, 11, 30), run, monkeypatch)

    again = _prepare_on(date(2026, 12, 1), place(run.folder, runToken="2"), monkeypatch)

    assert _plan(again).template_date == "2026-12-01"
    assert again.run_id != first.run_id


def test_a_pinned_date_that_is_none_is_written_anew(run: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _prepare_on(date(2026, 11, 30), run, monkeypatch)
    (pin,) = (run.folder / "output" / "_runs").glob("*.date")
    pin.write_bytes(b"\xff<script>")

    again = _prepare_on(date(2026, 12, 1), run, monkeypatch)

    assert _plan(again).template_date == "2026-12-01"
    assert again.run_id != first.run_id
    assert pin.read_text() == "2026-12-01\n"


def test_a_template_without_a_date_pins_none(tmp_path: Path) -> None:
    report = place(tmp_path).prepare()

    assert _plan(report).template_date is None
    assert not list(tmp_path.rglob("*.date"))
