"""How much memory one GPU needs at its peak: arithmetic over the weights' shapes and the configuration, no torch.

The estimate is of the smallest set-up the trainer falls back to: one row a pass, activations computed again in the
backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from lora_contract.finetune import LoRAFineTuneSpec, QuantizationSpec
from lora_contract.status import MemoryStatus
from lora_trainer.model_files.safetensors_header import Tensor
from lora_trainer.model_files.shape import parts_of_experts, quantised
from lora_trainer.planning.micro_batch import EXACT_LOGITS_AT_ONCE, LOGITS_AT_ONCE, activation_bytes_per_token

_BITS_A_BYTE = 8
#: bitsandbytes: one fp32 constant for 64 weights; with double quantisation 8 bits, and an fp32 for 256 of those.
_BLOCK, _BLOCK_OF_CONSTANTS = 64, 256
_BYTES_16_BIT = 2.0
#: An adapter's value in fp32, its gradient, and the two moments of AdamW.
_BYTES_A_TRAINED_VALUE = 16
#: Logits in 16 bit, which their gradient replaces; of a few at a time in fp32, and their softmax.
_BYTES_A_LOGIT, _BYTES_AN_EXACT_LOGIT = 2, 4 + 4
#: CUDA context and kernels of one process.
_CONTEXT_BYTES = 600 << 20
#: What needs the least memory for weights.
_SMALLEST = QuantizationSpec(type="nf4", double_quant=True)


def bytes_per_weight(quantization: QuantizationSpec) -> float:
    """Tell the bytes that one frozen weight of a linear layer takes."""
    if quantization.type == "none":
        return _BYTES_16_BIT
    if quantization.type == "int8":
        return 1.0
    constants = 1 / _BLOCK + 4 / (_BLOCK * _BLOCK_OF_CONSTANTS) if quantization.double_quant else 4 / _BLOCK
    return 4 / _BITS_A_BYTE + constants


def estimate(
    spec: LoRAFineTuneSpec,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    adapted: Mapping[str, Tensor],
    *,
    row_tokens: int,
    targets: int | None = None,
) -> MemoryStatus:
    """Estimate the peak memory of one GPU, where the longest row has so many tokens.

    `targets`: how many tokens of a row count at most, for which there are logits; None: all may.
    """
    in_few_bits = sum(tensor.size for tensor in quantised(tensors, config).values())
    others = sum(tensor.size for tensor in tensors.values()) - in_few_bits

    def weights(quantization: QuantizationSpec) -> int:
        return int(in_few_bits * bytes_per_weight(quantization) + others * _BYTES_16_BIT)

    trained = sum(spec.lora.r * sum(tensor.shape) for tensor in adapted.values())
    shape = SimpleNamespace(**{"intermediate_size": None, **config})
    # An expert in 4 bits is decoded where it is used, and its weight is there in the format of the gradient as well.
    decoded = max((size for _, size in parts_of_experts(tensors, config)), default=0)
    working = 0 if spec.quantization.type == "none" else int(2 * decoded * _BYTES_16_BIT)
    return MemoryStatus(
        weights_bytes=weights(spec.quantization),
        nf4_weights_bytes=weights(_SMALLEST),
        adapter_bytes=trained * _BYTES_A_TRAINED_VALUE,
        activation_bytes=row_tokens * activation_bytes_per_token(shape, checkpointing=True) + working,
        logit_bytes=int(config.get("vocab_size") or 0) * _logit_bytes(row_tokens if targets is None else targets),
        context_bytes=_CONTEXT_BYTES,
        row_tokens=row_tokens,
    )


def _logit_bytes(targets: int) -> int:
    """Tell the bytes that each word of the vocabulary takes while the loss is computed."""
    exact = min(targets, EXACT_LOGITS_AT_ONCE)
    return min(targets, LOGITS_AT_ONCE) * _BYTES_A_LOGIT + exact * _BYTES_AN_EXACT_LOGIT
