"""Families beside the usual ones are prepared, trained and published as others are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.local_runs import local_run
from support.tiny_models import OLDER_CONFIGS


def trained(folder: Path, family: str) -> tuple[str, dict[str, Any]]:
    """Train a small random model for three steps; what was printed, and the configuration of the adapter."""
    run = local_run(
        folder,
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
    assert run.final()["testLoss"] > 0
    return ended.output, json.loads((run.published / "adapter_config.json").read_text())


@pytest.mark.parametrize("family", OLDER_CONFIGS)
def test_a_model_that_names_its_sizes_as_gpt2_does_trains_and_its_adapter_answers(family: str, tmp_path: Path) -> None:
    _, config = trained(tmp_path, family)

    assert config["target_modules"]


@pytest.mark.parametrize("family", ["qwen3_moe", "gpt_oss"])
def test_a_mixture_of_experts_trains_in_four_bits_and_its_adapter_answers(family: str, tmp_path: Path) -> None:
    output, config = trained(tmp_path, family)

    assert "is a mixture of 4 experts: they and their router get no adapter" in output
    assert sorted(config["target_modules"]) == ["k_proj", "o_proj", "q_proj", "v_proj"]
