"""A mixture of experts is prepared, trained in 4 bits and published as other models are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.local_runs import local_run


@pytest.mark.parametrize("family", ["qwen3_moe", "gpt_oss"])
def test_a_mixture_trains_in_four_bits_and_its_adapter_answers(family: str, tmp_path: Path) -> None:
    run = local_run(
        tmp_path,
        gpus=0,
        shape={"family": family},
        training__maxSteps=3,
        training__maxLength=96,
        lora__targetModules=["all-linear"],
        evaluation__samples=2,
        evaluation__maxNewTokens=4,
    )

    ended = run.run_forked()

    assert ended.code == 0, ended.output[-3000:]
    assert ended.steps[-1] == 3
    assert "is a mixture of 4 experts: they and their router get no adapter" in ended.output
    config = json.loads((run.published / "adapter_config.json").read_text())
    assert sorted(config["target_modules"]) == ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert run.final()["testLoss"] > 0
