"""docs/how-to-change.md names files that exist, and the lists that it relies on are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lora_contract.finetune.method import DpoSpec, KtoSpec
from lora_contract.finetune.training import LoraSpec, TrainingSpec
from lora_contract.sweep import varied

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to-change.md").read_text(encoding="utf-8")
#: Where a path that follows another in one step begins.
FOLDERS = ("", "trainer_image/lora_trainer/", "operator/lora_contract/")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w./-]+/[\w.-]+\.\w+)`", PAGE))))
def test_every_file_that_is_named_exists(path: str) -> None:
    assert any((ROOT / folder / path).is_file() for folder in FOLDERS)


@pytest.mark.parametrize(
    ("model", "in_sweeps", "left_out"),
    [
        (LoraSpec, varied.LORA_FIELDS, varied.LORA_FIELDS_LEFT_OUT),
        (TrainingSpec, varied.TRAINING_FIELDS, varied.TRAINING_FIELDS_LEFT_OUT),
        (DpoSpec, varied.DPO_FIELDS, varied.DPO_FIELDS_LEFT_OUT),
        (KtoSpec, varied.KTO_FIELDS, varied.KTO_FIELDS_LEFT_OUT),
    ],
    ids=["lora", "training", "dpo", "kto"],
)
def test_every_field_is_varied_by_sweeps_or_left_out_on_purpose(
    model: type[LoraSpec | TrainingSpec | DpoSpec | KtoSpec], in_sweeps: tuple[str, ...], left_out: tuple[str, ...]
) -> None:
    assert sorted((*in_sweeps, *left_out)) == sorted(model.model_fields)
