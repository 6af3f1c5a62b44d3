"""Models whose config.json names its sizes as GPT-2 does are prepared, trained and published as others are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.local_runs import local_run
from support.tiny_models import OLDER_CONFIGS


@pytest.mark.parametrize("family", OLDER_CONFIGS)
def test_a_small_random_model_trains_and_its_adapter_answers(family: str, tmp_path: Path) -> None:
    run = local_run(
        tmp_path,
        gpus=0,
        shape={"family": family},
        training__maxSteps=3,
        lora__targetModules=["all-linear"],
        evaluation__samples=2,
        evaluation__maxNewTokens=4,
    )

    ended = run.run_forked()

    assert ended.code == 0, ended.output[-3000:]
    assert ended.steps[-1] == 3
    config = json.loads((run.published / "adapter_config.json").read_text())
    assert config["target_modules"]
    assert run.final()["testLoss"] > 0
