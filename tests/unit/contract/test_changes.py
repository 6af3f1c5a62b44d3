"""Changed copies take the fields of their model, with its types, and no others."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest

from lora_contract import changes
from lora_contract.base import Model
from lora_contract.status import AttemptStatus, LoRAFineTuneStatus, ProgressStatus, UsageStatus
from lora_contract.sweep.sweep_status import LoRASweepStatus, TrialStatus


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (LoRAFineTuneStatus, changes.StatusChanges),
        (LoRASweepStatus, changes.SweepStatusChanges),
        (AttemptStatus, changes.AttemptChanges),
        (UsageStatus, changes.UsageChanges),
        (ProgressStatus, changes.ProgressChanges),
        (TrialStatus, changes.TrialChanges),
    ],
)
def test_the_fields_of_a_change_are_those_of_its_model(model: type[Model], fields: Any) -> None:
    assert get_type_hints(fields) == {name: info.annotation for name, info in model.model_fields.items()}
