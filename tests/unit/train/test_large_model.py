"""A model of hundreds of gigabytes may take longer to bring than a process may stand still."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import cast

import pytest

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.order import TrainOrder
from lora_contract.status import PlanStatus
from lora_trainer.errors import TrainerError, bad_config
from lora_trainer.processes.group import Group
from lora_trainer.store import Store
from lora_trainer.train import inputs, stage
from lora_trainer.train.lead import Lead
from support.specs import BASE


class LeaderWithoutDuties:
    """Stands for what a leader holds; nothing of it is asked for while files are brought."""


@pytest.mark.parametrize("lead", [None, LeaderWithoutDuties()])
def test_a_process_that_brings_the_model_does_not_count_as_stalled(
    lead: LeaderWithoutDuties | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[bool] = []

    def fetch(*_: object) -> inputs.Inputs:
        watched.append(any(thread.name == "watchdog" for thread in threading.enumerate()))
        raise bad_config("enough seen")

    monkeypatch.setattr(inputs, "checkpoint", lambda *_: None)
    monkeypatch.setattr(inputs, "fetch", fetch)
    order = TrainOrder(
        stage="train",
        run_id="r",
        namespace="n",
        name="n",
        uid="u",
        spec=LoRAFineTuneSpec.model_validate(BASE),
        plan=PlanStatus(rows=1, tokens=1, total_steps=1),
        scratch=str(tmp_path),
    )
    process = stage._Process(order, cast("Store", None), tmp_path, Group(), cast("Lead | None", lead))
    with pytest.raises(TrainerError, match="enough seen"):
        process.run()
    assert watched == [False]
