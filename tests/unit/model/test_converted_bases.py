"""The advice for a base in FP8 or MXFP4: the call that the refusal shows gives a base that is read as any other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from lora_trainer.prepare import quantised_base

_BLOCK = 128
#: What the 16 codes of MXFP4 stand for (OCP Microscaling Formats, E2M1).
_E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def _follow_the_advice(quantised: Path, converted: Path) -> dict[str, torch.Tensor]:
    """Run the call in the hint on a saved model, and return the tensors that it writes."""
    refused = quantised_base.refusal(json.loads((quantised / "config.json").read_text()), "team/model")
    assert refused is not None
    call = str(refused.hint).partition("convert this one once: ")[2]
    call = call.replace("...", repr(str(quantised)), 1).replace("...", repr(str(converted)), 1)
    names = ("AutoModelForCausalLM", "FineGrainedFP8Config", "Mxfp4Config")
    eval(call, {name: getattr(transformers, name) for name in names})  # noqa: S307 - the product's own sentence
    return load_file(converted / "model.safetensors")


def _write(folder: Path, tensors: dict[str, torch.Tensor], settings: Mapping[str, Any]) -> None:
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": dict(settings)}))


def _assert_plain(converted: Path, tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    assert quantised_base.refusal(json.loads((converted / "config.json").read_text()), "team/model") is None
    assert tensors.keys() == expected.keys()
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    for name, tensor in tensors.items():
        assert torch.equal(tensor, expected[name]), name


def test_fp8_becomes_the_values_of_its_codes(tmp_path: Path) -> None:
    quantised, converted = tmp_path / "quantised", tmp_path / "converted"
    config = transformers.LlamaConfig(
        hidden_size=_BLOCK, intermediate_size=2 * _BLOCK, num_hidden_layers=1, num_attention_heads=4, vocab_size=64
    )
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(quantised)
    stored, expected = {}, {}
    for name, tensor in load_file(quantised / "model.safetensors").items():
        stored[name] = expected[name] = tensor
        if "proj" in name:
            rows, columns = tensor.shape
            blocks = tensor.float().view(rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK)
            scales = blocks.abs().amax(dim=(1, 3)) / torch.finfo(torch.float8_e4m3fn).max
            codes = (blocks / scales[:, None, :, None]).to(torch.float8_e4m3fn)
            stored[name], stored[f"{name}_scale_inv"] = codes.view(rows, columns), scales
            expected[name] = (codes.float() * scales[:, None, :, None]).view(rows, columns).to(torch.bfloat16)
    settings = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [_BLOCK, _BLOCK]}
    _write(quantised, stored, settings)

    tensors = _follow_the_advice(quantised, converted)

    _assert_plain(converted, tensors, expected)


def test_mxfp4_becomes_the_values_of_its_codes(tmp_path: Path) -> None:
    quantised, converted = tmp_path / "quantised", tmp_path / "converted"
    config = transformers.GptOssConfig(
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=16,
        vocab_size=64,
        num_local_experts=4,
        num_experts_per_tok=2,
    )
    transformers.GptOssForCausalLM(config).to(torch.bfloat16).save_pretrained(quantised, save_original_format=False)
    stored, expected = {}, {}
    for name, tensor in load_file(quantised / "model.safetensors").items():
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            stored[name] = expected[name] = tensor
            continue
        experts, inputs, outputs = tensor.shape
        blocks = torch.randint(0, 256, (experts, outputs, inputs // 32, 16), dtype=torch.uint8)
        scales = torch.randint(120, 128, (experts, outputs, inputs // 32), dtype=torch.uint8)
        stored[f"{name}_blocks"], stored[f"{name}_scales"] = blocks, scales
        values = torch.stack([_E2M1[(blocks & 15).long()], _E2M1[(blocks >> 4).long()]], dim=-1).flatten(-2)
        values = values * torch.exp2(scales.float() - 127)[..., None]
        expected[name] = values.flatten(-2).transpose(1, 2).to(torch.bfloat16)
    untouched = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    _write(quantised, stored, {"quant_method": "mxfp4", "modules_to_not_convert": untouched})

    tensors = _follow_the_advice(quantised, converted)

    _assert_plain(converted, tensors, expected)
