"""Experts of a mixture in 4 bits: transformers holds those of a block in one tensor, which bitsandbytes does not take.

Each expert's weight is quantised by itself, as bitsandbytes quantises a linear layer, and decoded by each use of it;
nothing decoded is kept for the backward pass. The classes of transformers stay: where they take the weight of an
expert out of the tensor, they get an `ExpertWeight`, and multiplying with it is all that is done with one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from bitsandbytes.functional import QuantState, dequantize_4bit, quantize_4bit
from torch import Tensor, nn
from torch.nn import functional
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.core_model_loading import ConversionOps
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.quantizer_bnb_4bit import Bnb4BitHfQuantizer

from lora_contract.finetune import QuantizationSpec
from lora_trainer.model_files.shape import expert_count

_METHOD = "bitsandbytes_4bit_with_experts"
_MULTIPLICATIONS = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__)


class FourBitExperts(nn.Module):
    """The weights of the experts of a block, in place of a tensor [experts, rows, columns]."""

    codes: Tensor

    def __init__(self, codes: Tensor, states: list[QuantState]) -> None:
        """`codes` [experts, bytes], uint8; `states` holds the constants of each expert."""
        super().__init__()
        self.register_buffer("codes", codes, persistent=False)
        self.states = states

    @classmethod
    def quantised(cls, weights: Tensor, *, quant_type: str, double_quant: bool) -> FourBitExperts:
        """Quantise weights [experts, rows, columns]; each expert's codes and constants are those of a layer alone."""
        pairs = [
            quantize_4bit(weight, compress_statistics=double_quant, quant_type=quant_type)
            for weight in weights.contiguous()
        ]
        return cls(torch.stack([codes.flatten() for codes, _ in pairs]), [state for _, state in pairs])

    def __getitem__(self, expert: int | Tensor) -> ExpertWeight:
        """Give the weight of an expert, to be multiplied with."""
        return ExpertWeight(self, int(expert))

    def decode(self, expert: int) -> Tensor:
        """Compute the weight of an expert, [rows, columns]."""
        decoded: Tensor = dequantize_4bit(self.codes[expert].unsqueeze(1), self.states[expert])
        return decoded


class ExpertWeight:
    """The weight of one expert, decoded where torch multiplies with it."""

    def __init__(self, experts: FourBitExperts, expert: int) -> None:
        """Remember which expert of which block this is."""
        self.experts, self.expert = experts, expert

    @classmethod
    def __torch_function__(
        cls, func: Any, _types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Multiply with the weight, as a linear layer does or as a matrix; decode it for whatever else is done."""
        given = dict(kwargs or {})
        weight = args[1] if len(args) > 1 else None
        if isinstance(weight, ExpertWeight) and not isinstance(args[0], ExpertWeight):
            if func is functional.linear:
                bias = args[2] if len(args) > 2 else given.get("bias")
                product = _Product.apply(args[0], weight.experts, weight.expert, False)
                return product if bias is None else product + bias
            if func in _MULTIPLICATIONS:
                return _Product.apply(args[0], weight.experts, weight.expert, True)
        return func(*(each.decoded if isinstance(each, ExpertWeight) else each for each in args), **given)

    @property
    def decoded(self) -> Tensor:
        """The weight itself, [rows, columns]."""
        return self.experts.decode(self.expert)


class _Product(torch.autograd.Function):
    """states @ weight.T, or states @ weight where `as_matrix`; only the states get a gradient."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, experts: FourBitExperts, expert: int, as_matrix: bool) -> Tensor:
        ctx.experts, ctx.expert, ctx.as_matrix, ctx.dtype = experts, expert, as_matrix, states.dtype
        weight = experts.decode(expert)
        return states @ weight if as_matrix else functional.linear(states, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        weight = ctx.experts.decode(ctx.expert).to(gradient.dtype)
        return (gradient @ (weight.T if ctx.as_matrix else weight)).to(ctx.dtype), None, None, None


def expert_tensors(model: PreTrainedModel) -> list[str]:
    """Name the parameters that hold the weights of the experts of a block, [experts, rows, columns]."""
    experts = expert_count(model.config.get_text_config().to_dict())
    return [
        name
        for name, parameter in model.named_parameters()
        if experts > 1 and parameter.dim() == 3 and parameter.shape[0] == experts
    ]


def round_experts(model: PreTrainedModel, quantization: QuantizationSpec) -> None:
    """Replace the weights of experts by the values that their 4-bit codes stand for."""
    for name in expert_tensors(model):
        weights = model.get_parameter(name).data
        for weight in weights:
            codes, state = quantize_4bit(
                weight, compress_statistics=quantization.double_quant, quant_type=quantization.type
            )
            weight.copy_(dequantize_4bit(codes, state))


@register_quantization_config(_METHOD)
class FourBitWithExperts(BitsAndBytesConfig):
    """As bitsandbytes quantises a model to 4 bits, and the experts of its blocks too."""

    def __init__(self, **options: Any) -> None:
        """Take the options of `BitsAndBytesConfig`."""
        super().__init__(**options)
        self.quant_method = _METHOD


@register_quantizer(_METHOD)
class _Quantizer(Bnb4BitHfQuantizer):
    """Quantises experts while they are loaded, so that those of one block at a time are there in 16 bits."""

    def _process_model_before_weight_loading(self, model: PreTrainedModel, **options: Any) -> None:
        super()._process_model_before_weight_loading(model, **options)
        self.experts = set(expert_tensors(model))
        self.states: dict[str, list[QuantState]] = {}

    def param_needs_quantization(self, model: PreTrainedModel, param_name: str, **options: Any) -> bool:
        """Tell whether a parameter is quantised while it is loaded."""
        return param_name in self.experts or super().param_needs_quantization(model, param_name, **options)

    def get_quantize_ops(self) -> ConversionOps:
        """Give what quantises a parameter."""
        return _Quantize(self, super().get_quantize_ops())

    def _process_model_after_weight_loading(self, model: PreTrainedModel, **options: Any) -> PreTrainedModel:
        for name, states in self.states.items():
            module, _, own = name.rpartition(".")
            block = model.get_submodule(module)
            codes = block._parameters.pop(own)
            block.register_module(own, FourBitExperts(codes.data, states))
        model.set_experts_implementation("eager")  # the one that takes experts out of the tensor one by one
        return super()._process_model_after_weight_loading(model, **options)


class _Quantize(ConversionOps):
    def __init__(self, quantizer: _Quantizer, of_layers: ConversionOps) -> None:
        self.quantizer, self.of_layers = quantizer, of_layers

    def convert(self, input_dict: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Quantise what was read: parameters of linear layers as bitsandbytes does, experts each by itself."""
        config = self.quantizer.quantization_config
        converted: dict[str, Any] = {}
        for name, value in input_dict.items():
            if name not in self.quantizer.experts:
                converted |= self.of_layers.convert({name: value}, **options)
                continue
            weights = value[0] if isinstance(value, list) else value
            quantised = FourBitExperts.quantised(
                weights,
                quant_type=config.bnb_4bit_quant_type,
                double_quant=config.bnb_4bit_use_double_quant,
            )
            self.quantizer.states[name] = quantised.states
            converted[name] = quantised.codes
        return converted
