"""What transformers and bitsandbytes are told when they load a base model."""

from __future__ import annotations

import torch

from lora_contract.finetune import QuantizationSpec
from lora_trainer.model.hardware import Hardware
from lora_trainer.model.load import bitsandbytes_config, load_options


def test_the_4_bit_computation_is_in_the_models_format() -> None:
    config = bitsandbytes_config(QuantizationSpec(), Hardware(torch.device("cuda", 0), torch.bfloat16))
    assert config.bnb_4bit_compute_dtype is torch.bfloat16
    assert config.bnb_4bit_quant_type == "nf4"
    assert config.bnb_4bit_use_double_quant


def test_the_model_is_on_one_device() -> None:
    options = load_options(QuantizationSpec(), Hardware(torch.device("cuda", 0), torch.bfloat16), expanded=False)
    assert options["device_map"] == {"": 0}
    assert options["dtype"] is torch.bfloat16
