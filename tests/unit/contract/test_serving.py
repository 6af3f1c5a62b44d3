"""Which servers load an adapter as it was published: what is told for adapters of each kind."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from lora_contract.report import MAX_BYTES, Report, decode, encode
from lora_contract.serving import LONGEST_ADVICE, MOST_SERVERS, ServingStatus, servers
from lora_contract.status import ArtifactStatus

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def _table(family: str = "llama", *, serving_rank: int = 16, **config: Any) -> dict[str, ServingStatus]:
    adapter = {"r": 16, "lora_alpha": 32, "target_modules": LAYERS, "bias": "none", **config}
    return {each.server: each for each in servers(adapter, family=family, serving_rank=serving_rank)}


def test_an_ordinary_adapter_of_llama_is_loaded_by_all() -> None:
    assert {each.loads for each in _table().values()} == {"Yes"}


def test_vllm_is_told_a_rank_above_its_default() -> None:
    assert _table()["vLLM"].advice == "--enable-lora"
    assert _table(r=40, serving_rank=64)["vLLM"].advice == "--enable-lora --max-lora-rank 64"


def test_a_rank_stabilised_adapter_is_not_served_where_it_would_be_too_weak() -> None:
    table = _table(use_rslora=True)

    assert {name for name, each in table.items() if each.loads == "No"} == {"SGLang", "Ollama"}
    assert "too weak" in str(table["SGLang"].advice)


@pytest.mark.parametrize("rank", [8, 16, 30])
def test_the_scale_for_llama_cpp_makes_up_for_the_one_it_computes(rank: int) -> None:
    alpha = 32
    advice = str(_table(r=rank, lora_alpha=alpha, use_rslora=True)["llama.cpp"].advice)

    scale = float(advice.partition("the scale ")[2].partition(":")[0])

    trained = alpha / math.sqrt(rank)
    assert scale * alpha / rank == pytest.approx(trained, rel=1e-5)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "biases"),
        ({"rank_pattern": {"q_proj": 4}}, "one rank"),
        ({"alpha_pattern": {"q_proj": 4}}, "one rank and alpha"),
    ],
)
def test_what_goes_beyond_a_and_b_is_loaded_by_peft_alone(config: dict[str, Any], reason: str) -> None:
    table = _table(**config)

    assert [name for name, each in table.items() if each.loads == "Yes"] == ["transformers with PEFT"]
    assert all(reason in str(each.advice) for each in table.values() if each.loads == "No")


def test_a_layer_that_sglang_does_not_know_is_named() -> None:
    assert (
        _table("gpt2", target_modules=["transformer.h.0.attn.c_attn"])["SGLang"].advice
        == "it has no adapters on c_attn"
    )


def test_a_family_without_adapters_in_vllm_is_a_no_and_one_not_looked_up_is_unknown() -> None:
    assert _table("falcon")["vLLM"].loads == "No"
    table = _table("of-tomorrow")
    assert table["vLLM"].loads == "Unknown"
    assert "of-tomorrow was not looked up; try --enable-lora" in str(table["vLLM"].advice)
    assert table["transformers with PEFT"].loads == "Yes"


@pytest.mark.parametrize("family", ["llama", "phi3", "gpt2", "x" * 5000])
@pytest.mark.parametrize("modules", [LAYERS, ["y" * 5000], ["a.b.c_attn"]])
def test_every_table_fits_its_field(family: str, modules: list[str]) -> None:
    table = _table(family, target_modules=modules, r=500, use_rslora=True, serving_rank=512)

    assert len(table) <= MOST_SERVERS
    assert all(len(each.advice or "") <= LONGEST_ADVICE for each in table.values())


def test_a_report_that_is_too_long_loses_the_table_and_keeps_the_adapter() -> None:
    long = [ServingStatus(server="vLLM", loads="No", advice="é" * LONGEST_ADVICE) for _ in range(MOST_SERVERS)]
    artifact = ArtifactStatus(
        uri="s3://bucket/a",
        manifest_digest="ab" * 32,
        size_bytes=1,
        base_model="tiny",
        required_max_lora_rank=8,
        serving=long,
    )

    text = encode(Report(stage="train", artifact=artifact, warnings=["w" * 200]))

    assert len(text.encode()) <= MAX_BYTES
    read = decode(text)
    assert read is not None
    assert read.artifact == artifact.model_copy(update={"serving": None})


def test_a_forged_server_is_left_out() -> None:
    artifact = ArtifactStatus(
        uri="s3://bucket/a", manifest_digest="ab" * 32, size_bytes=1, base_model="tiny", required_max_lora_rank=8
    )
    said = json.loads(encode(Report(stage="train", artifact=artifact)))
    said["artifact"]["serving"] = [{"server": "vLLM", "loads": "Surely"}, {"server": "vLLM", "loads": "Yes"}]

    read = decode(json.dumps(said))

    assert read is not None
    assert read.artifact is not None
    assert [each.loads for each in read.artifact.serving or ()] == ["Yes"]
