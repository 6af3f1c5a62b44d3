"""The LoRA adapter on a base model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lora_contract import spec_paths
from lora_contract.counts import counted
from lora_contract.finetune import LoraSpec
from lora_contract.finetune.training import ALL_LINEAR
from lora_trainer.errors import bad_config
from lora_trainer.model import lora_product, norms
from lora_trainer.model_files.shape import adaptable, expert_count, last_name

log = logging.getLogger(__name__)


@dataclass
class Adapted:
    """A base model with its adapter, and what was adapted."""

    model: PeftModel
    target_modules: list[str]
    layers: int
    trainable_parameters: int


def attach(base: PreTrainedModel, lora: LoraSpec) -> Adapted:
    """Put an adapter on the modules that the spec names.

    Raises:
        TrainerError: 64, a name matches no linear layer.
    """
    config = base.config.get_text_config().to_dict()
    layers = [name for name, module in base.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    linear = adaptable(layers, config)
    _check_names(linear, lora)
    all_linear = lora.target_modules == [ALL_LINEAR]
    every: str | list[str] = ALL_LINEAR
    left_out = len(linear) < len(adaptable(layers, {}))
    if left_out or expert_count(config) > 1:  # all-linear would take along what gets no adapter, tensors of experts too
        every = sorted({last_name(name) for name in linear})
    model = get_peft_model(
        base,
        LoraConfig(
            task_type=TaskType.CAUSAL_LM,
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            use_rslora=lora.use_rslora,
            target_modules=every if all_linear else list(lora.target_modules),
            bias="none",
        ),
    )
    quicken(model)
    adapted = list(model.targeted_module_names)
    names = sorted({name.rpartition(".")[2] for name in adapted})
    # peft writes this list to adapter_config.json: servers need names, not "all-linear".
    model.peft_config["default"].target_modules = set(names) if all_linear else set(lora.target_modules)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    log.info(
        "adapter on %s (%s), %s", counted(len(adapted), "layer"), ", ".join(names), counted(trainable, "parameter")
    )
    return Adapted(model, names if all_linear else sorted(lora.target_modules), len(adapted), trainable)


def quicken(model: PeftModel) -> None:
    """Let an adapted model compute with fewer passes over memory, and on a GPU with fewer kernels to launch."""
    lora_product.install(model)
    norms.install(model)


def _check_names(linear: Sequence[str], lora: LoraSpec) -> None:
    if lora.target_modules == [ALL_LINEAR]:
        return
    for wanted in lora.target_modules:
        if not any(name == wanted or name.endswith(f".{wanted}") for name in linear):
            known = ", ".join(sorted({last_name(name) for name in linear}))
            raise bad_config(
                f"the model has no linear layer named {wanted!r}",
                param=spec_paths.LORA_TARGET_MODULES,
                hint=f"Use all-linear, or names among: {known}.",
            )
