"""What a stage makes of its order and of errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_contract import names
from lora_contract.exit_codes import ExitCode
from lora_contract.report import decode
from lora_trainer.command import stage
from lora_trainer.errors import TrainerError, bad_config, bad_data


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
