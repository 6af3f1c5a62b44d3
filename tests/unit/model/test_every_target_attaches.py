"""What prepare takes for a layer that can have an adapter gets one in train: over families of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lora_contract.finetune import LoRAFineTuneSpec, LoraSpec
from lora_trainer.errors import TrainerError
from lora_trainer.model.adapter import attach
from lora_trainer.model_files.safetensors_header import Tensor, read_header
from lora_trainer.model_files.shape import last_name
from lora_trainer.prepare import model_check
from support.specs import changed
from support.tiny_models import EXPERTS, SHAPE

_SIZES: dict[str, Any] = SHAPE | {"max_position_embeddings": 128}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": _SIZES,
    "phi3": _SIZES,
    "gemma3_text": _SIZES,
    "lfm2": _SIZES,
    "falcon_h1": _SIZES,
    "qwen3_next": {**_SIZES, **EXPERTS},
    "qwen3_moe": {**_SIZES, **EXPERTS},
    "hunyuan_v1_moe": {**_SIZES, **EXPERTS},
    "deepseek_v3": {**_SIZES, **EXPERTS},
    "gpt_oss": {**_SIZES, **EXPERTS},
}


def saved(folder: Path, family: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A random model of the family on disk: its configuration, and its tensors by their header."""
    config = AutoConfig.for_model(family, **FAMILIES[family])
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    weights = folder / "model.safetensors"
    with weights.open("rb") as stream:
        tensors = read_header(stream, weights.stat().st_size, weights.name, family)
    return json.loads((folder / "config.json").read_text()), tensors


def spec(targets: list[str]) -> LoRAFineTuneSpec:
    return LoRAFineTuneSpec.model_validate(changed({"lora.targetModules": targets, "quantization.type": "none"}))


@pytest.mark.parametrize("family", FAMILIES)
def test_each_layer_that_prepare_takes_gets_an_adapter(family: str, tmp_path: Path) -> None:
    config, tensors = saved(tmp_path, family)
    linear = model_check.adapted_modules(tensors, spec(["all-linear"]), config)
    names = sorted({last_name(name) for name in linear})

    for targets in (["all-linear"], names, *([name] for name in names)):
        taken = model_check.adapted_modules(tensors, spec(targets), config)
        base = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
        adapted = attach(base, LoraSpec(target_modules=targets, dropout=0.05))
        assert adapted.layers == len(taken), targets


@pytest.mark.parametrize(("family", "target"), [("falcon_h1", "out_proj"), ("qwen3_moe", "gate_proj")])
def test_a_layer_that_cannot_have_one_is_refused_by_both_with_those_that_can(
    family: str, target: str, tmp_path: Path
) -> None:
    config, tensors = saved(tmp_path, family)
    base = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)

    with pytest.raises(TrainerError, match=target) as refused:
        model_check.adapted_modules(tensors, spec([target]), config)
    with pytest.raises(TrainerError, match=target):
        attach(base, LoraSpec(target_modules=[target]))
    assert "q_proj" in refused.value.message


def test_layers_that_predict_further_ahead_are_not_there_in_training(tmp_path: Path) -> None:
    config, tensors = saved(tmp_path, "llama")
    ahead = {"model.layers.2.eh_proj.weight": Tensor("F32", (32, 64)), "mtp.fc.weight": Tensor("F32", (32, 64))}

    assert model_check.adapted_modules(tensors | ahead, spec(["all-linear"]), config).keys() == (
        model_check.adapted_modules(tensors, spec(["all-linear"]), config).keys()
    )
    with pytest.raises(TrainerError, match="on which no adapter can go"):
        model_check.adapted_modules(tensors | ahead, spec(["eh_proj"]), config)
