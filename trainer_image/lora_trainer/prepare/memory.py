"""How much memory one GPU needs at its peak: arithmetic over the weights' shapes and the configuration, no torch.

The estimate is of the smallest set-up the trainer falls back to: activations computed again in the backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from lora_contract.spec import LoRAFineTuneSpec
from lora_trainer.model.memory import activation_bytes_per_token, divisor_at_most
from lora_trainer.model_files.contents import Tensor
from lora_trainer.prepare.model_check import linear_modules

_BITS_A_BYTE = 8
#: bitsandbytes: one fp32 constant for 64 weights; with double quantisation 8 bits, and an fp32 for 256 of those.
_BLOCK, _BLOCK_OF_CONSTANTS = 64, 256
_BYTES_16_BIT = 2.0
#: An adapter's value in fp32, its gradient, and the two moments of AdamW.
_BYTES_A_TRAINED_VALUE = 16
#: Logits in 16 bit, in fp32, and their gradient.
_BYTES_A_LOGIT = 2 + 4 + 4
#: CUDA context and kernels of one process.
_CONTEXT_BYTES = 600 << 20
_DEFAULT_MICRO_BATCH = 4


def bytes_per_weight(spec: LoRAFineTuneSpec) -> float:
    """Bytes that one frozen weight of a linear layer takes."""
    kind = spec.quantization.type
    if kind == "none":
        return _BYTES_16_BIT
    if kind == "int8":
        return 1.0
    constants = 1 / _BLOCK + 4 / (_BLOCK * _BLOCK_OF_CONSTANTS) if spec.quantization.double_quant else 4 / _BLOCK
    return 4 / _BITS_A_BYTE + constants


def estimate(
    spec: LoRAFineTuneSpec, config: Mapping[str, Any], tensors: Mapping[str, Tensor], adapted: Mapping[str, Tensor]
) -> int:
    """Peak memory of one GPU in bytes."""
    linear = sum(tensor.size for tensor in linear_modules(tensors).values())
    others = sum(tensor.size for tensor in tensors.values()) - linear
    weights = linear * bytes_per_weight(spec) + others * _BYTES_16_BIT
    trained = sum(spec.lora.r * sum(tensor.shape) for tensor in adapted.values())
    tokens = _micro_batch(spec) * spec.training.max_length
    shape = SimpleNamespace(**{"intermediate_size": None, **config})
    activations = tokens * activation_bytes_per_token(shape, checkpointing=True)
    logits = tokens * int(config.get("vocab_size") or 0) * _BYTES_A_LOGIT
    return int(weights + trained * _BYTES_A_TRAINED_VALUE + activations + logits + _CONTEXT_BYTES)


def _micro_batch(spec: LoRAFineTuneSpec) -> int:
    if spec.training.micro_batch_size is not None:
        return spec.training.micro_batch_size
    processes = max(1, spec.compute.gpus) * spec.compute.nodes
    return divisor_at_most(max(1, spec.training.effective_batch_size // processes), _DEFAULT_MICRO_BATCH)
