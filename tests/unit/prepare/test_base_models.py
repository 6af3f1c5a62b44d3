"""Files of a base model: what prepare refuses in words, and what it never runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lora_contract.exit_codes import ExitCode
from lora_trainer.errors import TrainerError
from support.chat_models import CONFIG, save_model, tensor_shapes, write_safetensors
from support.prepare_orders import place


def _config(**changes: object) -> Callable[[Path], None]:
    return lambda model: (model / "config.json").write_text(json.dumps({**CONFIG, **changes})) and None


def _pickles_only(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def _cut(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def _remove(name: str) -> Callable[[Path], None]:
    return lambda model: (model / name).unlink()


def _write(name: str, content: str) -> Callable[[Path], None]:
    return lambda model: (model / name).write_text(content) and None


BAD_MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "pickles only": (_pickles_only, "has only pytorch_model.bin, which are pickles and can run code"),
    "no weights": (_remove("model.safetensors"), "has no weights; model.safetensors or model.safetensors.index.json"),
    "no config": (_remove("config.json"), "has no config.json"),
    "config is no JSON": (_write("config.json", "{"), "config.json of microsoft/Phi-4-mini-instruct is not JSON"),
    "config is a list": (_write("config.json", "[]"), "is not a JSON object"),
    "unknown type": (_config(model_type="mystery"), "has the model type 'mystery', which transformers does not know"),
    "code of its own": (
        _config(model_type="mystery", auto_map={"AutoModel": "modeling_mystery.Mystery"}),
        "it needs code from its own repository, which is never run",
    ),
    "foreign attention": (_config(_attn_implementation_internal="x/y"), "sets _attn_implementation_internal"),
    "an encoder": (_config(model_type="bert", architectures=["BertForMaskedLM"]), "is BertForMaskedLM, not a causal"),
    "no sizes": (_config(hidden_size=None), "config.json of microsoft/Phi-4-mini-instruct has no hidden_size"),
    "quantised already": (_config(quantization_config={"quant_method": "gptq"}), "are quantised already, in GPTQ"),
    "a mixture of experts": (
        _config(model_type="llama4_text", architectures=["Llama4ForCausalLM"], num_local_experts=8),
        "is a mixture of 8 experts, which nf4 leaves as they are",
    ),
    "no tokenizer": (_remove("tokenizer.json"), "has no tokenizer.json"),
    "no chat template": (_remove("chat_template.jinja"), "has no chat template"),
    "broken safetensors": (_write("model.safetensors", "not weights"), "is not a safetensors file"),
    "cut weights": (
        _cut,
        "'lm_head.weight' with a place outside of the file's 102,591 bytes of values; it may be cut off",
    ),
    "an index without map": (_write("model.safetensors.index.json", "{}"), "has no weight_map"),
    "an index with names that are none": (
        _write("model.safetensors.index.json", '{"weight_map": {"a": {"b": 1}}}'),
        "has a weight_map that does not name files",
    ),
    "an index that leaves the folder": (
        _write("model.safetensors.index.json", '{"weight_map": {"a": "../../etc/passwd"}}'),
        "names ../../etc/passwd, which is not there",
    ),
    "an index that names what its file does not hold": (
        _write("model.safetensors.index.json", '{"weight_map": {"a": "model.safetensors"}}'),
        "says that model.safetensors holds 'a', which it does not",
    ),
    "an index that names nothing there": (
        _write("model.safetensors.index.json", '{"weight_map": {"a": "b.safetensors"}}'),
        "names b.safetensors, which is not there",
    ),
}


@pytest.mark.parametrize("case", BAD_MODELS)
def test_a_model_that_cannot_be_used_is_refused_in_words(case: str, tmp_path: Path) -> None:
    spoil, message = BAD_MODELS[case]
    run = place(tmp_path)
    spoil(tmp_path / "model")

    with pytest.raises(TrainerError) as raised:
        run.prepare()

    assert message in raised.value.message
    assert raised.value.exit_code is ExitCode.UNSUPPORTED
    assert str(raised.value.param).startswith("spec.")
    assert raised.value.hint


def test_code_in_a_model_folder_is_neither_fetched_nor_run(tmp_path: Path) -> None:
    run = place(tmp_path, cache=str(tmp_path / "cache"))
    canary = tmp_path / "canary"
    (tmp_path / "model" / "modeling_llama.py").write_text(f"open({str(canary)!r}, 'w')")
    _config(auto_map={"AutoConfig": "modeling_llama.X", "AutoModelForCausalLM": "modeling_llama.Y"})(tmp_path / "model")

    run.prepare()

    assert not canary.exists()
    assert not list((tmp_path / "cache").rglob("*.py"))


def test_a_module_that_the_model_does_not_have_is_refused_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(TrainerError) as raised:
        place(tmp_path, lora__targetModules=["q_proj", "qkv_proj"]).prepare()

    assert raised.value.exit_code is ExitCode.BAD_CONFIG
    assert raised.value.param == "spec.lora.targetModules"
    assert "names 'qkv_proj', which microsoft/Phi-4-mini-instruct does not have" in raised.value.message
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in raised.value.message


def test_weights_in_several_files_are_found_through_the_index(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    shapes = tensor_shapes()
    names = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(shapes)}
    for file in set(names.values()):
        write_safetensors(folder / file, {name: shape for name, shape in shapes.items() if names[name] == file})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))

    report = place(tmp_path, lora__targetModules=["q_proj", "model.layers.1.mlp.up_proj"]).prepare()

    assert report.plan is not None
