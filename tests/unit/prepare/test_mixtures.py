"""Mixtures of experts: prepared with their experts in 4 bits, and refused where files contradict each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from lora_trainer.model_files.safetensors_header import read_header
from support.chat_models import CONFIG, save_model, tensor_shapes, write_safetensors
from support.prepare_orders import Place, place

MIXTURE = {
    "model_type": "qwen3_moe",
    "architectures": ["Qwen3MoeForCausalLM"],
    "num_experts": 4,
    "num_experts_per_tok": 2,
}
EXPERTS = ("gate_proj", "up_proj", "down_proj")


def refusal(run: Place) -> TrainerError:
    with pytest.raises(TrainerError) as raised:
        run.prepare()
    return raised.value


def configured(folder: Path, **changes: Any) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))


def mixture(folder: Path, *, fused: bool = False, changes: Mapping[str, tuple[int, ...] | None] | None = None) -> Path:
    """A mixture of experts in place of the model: an expert's layers each for itself, or all in one tensor."""
    save_model(folder / "model", **MIXTURE)
    shapes = {name: found for name, found in tensor_shapes().items() if ".mlp." not in name}
    for layer in range(2):
        block = f"model.layers.{layer}.mlp"
        shapes[f"{block}.gate.weight"] = (4, 32)
        if fused:
            shapes |= {f"{block}.experts.gate_up_proj": (4, 32, 32), f"{block}.experts.down_proj": (4, 32, 16)}
            continue
        for expert in range(4):
            shapes |= {f"{block}.experts.{expert}.{name}.weight": (16, 32) for name in EXPERTS[:2]}
            shapes[f"{block}.experts.{expert}.down_proj.weight"] = (32, 16)
    changed = {**shapes, **(changes or {})}
    write_safetensors(folder / "model" / "model.safetensors", {name: of for name, of in changed.items() if of})
    return folder


@pytest.mark.parametrize("fused", [False, True])
def test_a_mixture_is_prepared_in_four_bits_with_its_experts(fused: bool, tmp_path: Path) -> None:
    report = place(mixture(tmp_path, fused=fused)).prepare()

    assert report.plan is not None
    assert report.plan.memory is not None
    # Of each layer: 4 experts of 3 x 16 x 32, and attention; embeddings, head, norms and routers stay in 16 bits
    of_layer = 4 * 3 * 16 * 32 + 2 * 32 * 32 + 2 * 16 * 32
    weights = tmp_path / "model" / "model.safetensors"
    with weights.open("rb") as stream:
        tensors = read_header(stream, weights.stat().st_size, weights.name, "model")
    stored = sum(tensor.size for tensor in tensors.values())
    expected = 2 * of_layer * 0.51587 + (stored - 2 * of_layer) * 2
    assert report.plan.memory.weights_bytes == pytest.approx(expected, rel=1e-3)
    (said,) = [warning for warning in report.warnings if "4 experts: they and their router get no adapter" in warning]
    active = stored - 2 * 4 * 3 * 16 * 32 // 2
    assert f"of {stored:,} parameters {active:,} take part in each token" in said


@pytest.mark.parametrize(
    ("quantization", "model_type", "says"),
    [
        ("int8", "qwen3_moe", "set quantization.type: nf4, or none"),
        ("nf4", "phimoe", "set quantization.type: none, or use a mixture whose experts are held in 4 bits: afmoe"),
    ],
)
def test_a_mixture_whose_experts_cannot_be_quantised_so_is_refused_and_trains_as_the_hint_says(
    quantization: str, model_type: str, says: str, tmp_path: Path
) -> None:
    folder = mixture(tmp_path)
    configured(folder / "model", **MIXTURE | {"model_type": model_type})

    error = refusal(place(folder, quantization={"type": quantization}))

    assert error.param == "spec.quantization.type"
    assert "is a mixture of 4 experts" in error.message
    assert says in str(error.hint)


BLOCK = "model.layers.1.mlp.experts"
EXPERT = {f"{BLOCK}.3.{name}.weight": (32, 16) if name == "down_proj" else (16, 32) for name in EXPERTS}
#: What is changed in a mixture's configuration, in its weights (None: taken out), and what the refusal says.
LYING_MIXTURES: dict[str, tuple[dict[str, Any], dict[str, tuple[int, ...] | None], str]] = {
    "more experts": ({"num_experts": 8}, {}, "says that it has 8 experts, but the weights lack model.layers.0"),
    "fewer experts": ({"num_experts": 3}, {}, "says that it has 3 experts, but the weights hold 4"),
    "0 experts": ({"num_experts": 0}, {}, "says no number of experts, but the weights hold model.layers.0.mlp.experts"),
    "no number of experts": ({"num_experts": None}, {}, "says no number of experts, but the weights hold"),
    "two numbers": ({"num_local_experts": 8}, {}, "says num_local_experts 8 and num_experts 4, which are one"),
    "-1 experts": ({"num_experts": -1}, {}, "has a num_experts that is no number from 0 to 65536"),
    "a huge number": ({"num_experts": 10**30}, {}, "has a num_experts that is no number from 0 to 65536"),
    "true experts": ({"num_experts": True}, {}, "has a num_experts that is no number from 0 to 65536"),
    "a list of nothing": ({"num_experts": []}, {}, "has a num_experts that is no number from 0 to 65536"),
    "chosen as text": ({"num_experts_per_tok": "2"}, {}, "has a num_experts_per_tok that is no number"),
    "none chosen": ({"num_experts_per_tok": 0}, {}, "says num_experts_per_tok 0, but it has 4 experts"),
    "more chosen": ({"num_experts_per_tok": 5}, {}, "says num_experts_per_tok 5, but it has 4 experts"),
    "a size as text": ({"moe_intermediate_size": "16"}, {}, "has a moe_intermediate_size that is no number"),
    "a size below 0": ({"moe_intermediate_size": -16}, {}, "has a moe_intermediate_size that is no number"),
    "another size": (
        {"moe_intermediate_size": 64},
        {},
        "says moe_intermediate_size 64, so one side of model.layers.0.mlp.experts.0.gate_proj.weight is 64, but it is"
        " 16 x 32",
    ),
    "sizes of layers as text": ({"moe_intermediate_size": ["16", 16]}, {}, "has a moe_intermediate_size that is no"),
    "shared as text": ({"n_shared_experts": "1"}, {}, "has a n_shared_experts that is no number"),
    "a missing expert": ({}, dict.fromkeys(EXPERT), f"says that it has 4 experts, but the weights lack {BLOCK}.3"),
    "a missing part": (
        {},
        {f"{BLOCK}.3.up_proj.weight": None},
        f"says that all experts are alike, but {BLOCK}.0 has up_proj.weight and {BLOCK}.3 does not",
    ),
    "an expert of another shape": (
        {},
        {f"{BLOCK}.3.up_proj.weight": (24, 32)},
        f"says that all experts are alike, but {BLOCK}.3.up_proj.weight is 24 x 32, unlike others",
    ),
    "experts numbered from 1": (
        {},
        dict.fromkeys(EXPERT) | {name.replace("experts.3", "experts.9"): of for name, of in EXPERT.items()},
        f"says that it has 4 experts, but the weights lack {BLOCK}.3",
    ),
    "two forms in one block": ({}, {f"{BLOCK}.gate_up_proj": (4, 32, 32)}, f"{BLOCK} holds them in two"),
    "a fused tensor of fewer": (
        {},
        {f"{BLOCK}.gate_up_proj": (3, 32, 32)},
        f"says that it has 4 experts, but {BLOCK}.gate_up_proj holds 3",
    ),
}


@pytest.mark.parametrize("case", LYING_MIXTURES)
def test_a_mixture_whose_experts_are_not_those_of_its_configuration_is_refused(case: str, tmp_path: Path) -> None:
    settings, changes, message = LYING_MIXTURES[case]
    run = place(mixture(tmp_path, changes=changes))
    configured(tmp_path / "model", **MIXTURE | settings)

    error = refusal(run)

    assert error.exit_code is ExitCode.UNSUPPORTED
    assert message in error.message
    assert error.hint


def test_a_mixture_with_sizes_for_each_layer_is_estimated_by_the_largest(tmp_path: Path) -> None:
    family = {"model_type": "hunyuan_v1_moe", "architectures": ["HunYuanMoEV1ForCausalLM"], "num_experts": 4}
    run = place(mixture(tmp_path))

    def activations(**sizes: Any) -> int:
        configured(tmp_path / "model", **family | sizes)
        memory = run.prepare().plan.memory  # type: ignore[union-attr]
        return memory.activation_bytes  # type: ignore[union-attr]

    of_layers = activations(moe_topk=[2, 1], moe_intermediate_size=[64, 32], num_shared_expert=[1, 1])
    assert of_layers == activations(moe_topk=2, moe_intermediate_size=64, num_shared_expert=1)


@pytest.mark.parametrize("target", [*EXPERTS, "gate"])
def test_the_layers_of_experts_cannot_be_named_and_those_that_can_are(target: str, tmp_path: Path) -> None:
    run = place(mixture(tmp_path), quantization={"type": "none"}, lora__targetModules=["q_proj", target])

    error = refusal(run)

    assert error.exit_code is ExitCode.BAD_CONFIG
    assert f"names {target!r}" in error.message
    assert "outside of its 4 experts; its linear layers are k_proj, o_proj, q_proj, v_proj" in error.message
    assert place(tmp_path, quantization={"type": "none"}, lora__targetModules=["q_proj", "v_proj"]).prepare().plan
