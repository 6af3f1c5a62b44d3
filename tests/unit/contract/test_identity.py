"""Two runs are the same exactly when they would give the same adapter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.identity import (
    RECIPE_VERSION,
    canonical_json,
    digest,
    is_hash_of,
    run_id,
    spec_hash,
    training_relevant,
)
from support.specs import BASE, GOOD_SPECS, REMOVED, SHARES, changed


def with_shares(*shares: float) -> list[dict[str, Any]]:
    return [source | {"share": share} for source, share in zip(SHARES["sources"], shares, strict=True)]


OTHER_RECIPES: dict[str, dict[str, Any]] = {
    "another model": {"model.id": "microsoft/phi-4"},
    "another system prompt": {"dataset.systemPrompt": "Answer in JSON."},
    "another format": {"dataset.format": "messages"},
    "other columns": {"dataset.columns.prompt": "question"},
    "another split": {"dataset.split.seed": 7},
    "bad rows left out": {"dataset.onBadRows": "Skip"},
    "another quantization": {"quantization.type": "none"},
    "another rank": {"lora.r": 8},
    "other modules": {"lora.targetModules": ["q_proj"]},
    "more steps": {"training.maxSteps": 101},
    "another batch": {"training.effectiveBatchSize": 16},
    "another learning rate": {"training.learningRate": 0.0003},
    "another seed": {"training.seed": 1},
    "other tokens": {"training.trainOn": "all"},
    "other answers": {"training.trainOn": "last"},
    "keys that are left out": {"dataset.ignoreKeys": ["weight"]},
    "another chat template": {"chat.template": "{{ messages[0].content }}"},
    "other arguments of the template": {"chat.templateArgs": {"enable_thinking": "false"}},
    "early stopping": {"training.earlyStopping": {}},
    "preferences": {"method": {"dpo": {}}},
    "another beta": {"method": {"dpo": {"beta": 0.2}}},
    "answers with labels": {"method": {"kto": {}}},
    "a parent": {"from": {"run": "triage-base"}},
    "a gate": {"evaluation.gate.maxLossRatio": 0.9},
    "sources": {"dataset": SHARES},
    "other shares": {"dataset.uri": REMOVED, "dataset.sources": with_shares(0.5, 0.5)},
    "sources of other names": {"dataset": {"sources": [{"name": "a", "uri": "s3://datasets/a"}]}},
    "a source that repeats": {"dataset": {"sources": [{"name": "a", "uri": "s3://datasets/a", "repeats": 2}]}},
}
SAME_SOURCES: dict[str, dict[str, Any]] = {
    "at other addresses": {"dataset.sources": [s | {"uri": f"s3://copies/{s['name']}"} for s in SHARES["sources"]]},
    "in another order": {"dataset.sources": SHARES["sources"][::-1]},
}
SAME_RECIPE: dict[str, dict[str, Any]] = {
    "other credentials": {"storage.secretName": "s3-credentials"},
    "another output": {"output.uri": "s3://adapters/team-b/"},
    "data at another address": {"dataset.uri": "s3://copies/triage.jsonl"},
    "a template at another address": {"chat.templateUri": "s3://copies/chat.jinja"},
    "a mirror of the model": {"model.source": "s3://models/phi/"},
    "a floating revision": {"model.revision": REMOVED, "model.allowFloatingRevision": True},
    "a cache": {"model.cache": {"claimName": "model-cache"}},
    "more GPUs": {"compute.gpus": 4},
    "a queue": {"scheduling.queueName": "team-a"},
    "suspended": {"suspend": True},
    "a smaller micro batch": {"training.microBatchSize": 8},
    "more checkpoints": {"training.saveSteps": 5},
    "no retries": {"retries": 0},
    "may be edited": {"updatePolicy": "Rerun"},
}


def hash_of(spec: dict[str, Any]) -> str:
    return spec_hash(LoRAFineTuneSpec.model_validate(spec))


@pytest.mark.parametrize("changes", OTHER_RECIPES.values(), ids=OTHER_RECIPES.keys())
def test_another_recipe_has_another_hash(changes: dict[str, Any]) -> None:
    assert hash_of(changed(changes)) != hash_of(BASE)


def test_every_other_recipe_differs_from_all_others() -> None:
    assert len({hash_of(changed(changes)) for changes in OTHER_RECIPES.values()}) == len(OTHER_RECIPES)


@pytest.mark.parametrize("changes", SAME_RECIPE.values(), ids=SAME_RECIPE.keys())
def test_what_does_not_change_the_adapter_does_not_change_the_hash(changes: dict[str, Any]) -> None:
    assert hash_of(changed(changes)) == hash_of(BASE)


@pytest.mark.parametrize("changes", GOOD_SPECS.values(), ids=GOOD_SPECS.keys())
def test_defaults_may_be_written_out(changes: dict[str, Any]) -> None:
    spec = changed(changes)
    written_out = LoRAFineTuneSpec.model_validate(spec).dump()
    assert hash_of(written_out) == hash_of(spec)


@pytest.mark.parametrize("changes", SAME_SOURCES.values(), ids=SAME_SOURCES.keys())
def test_order_and_addresses_of_sources_do_not_change_the_hash(changes: dict[str, Any]) -> None:
    sources = changed({"dataset": SHARES})
    assert hash_of(changed(changes, sources)) == hash_of(sources)


def test_one_pass_may_be_written_out_for_a_source() -> None:
    once = [{"name": "a", "uri": "s3://datasets/a"}]
    written_out = [once[0] | {"repeats": 1}]
    assert hash_of(changed({"dataset": {"sources": once}})) == hash_of(changed({"dataset": {"sources": written_out}}))


def test_the_digest_of_a_parent_stands_for_its_address() -> None:
    by_run, by_address = ({"from": parent} for parent in ({"run": "a"}, {"adapter": "s3://adapters/a"}))
    assert hash_of(changed(by_run)) == hash_of(changed(by_address))


def shuffled(value: Any, draw: st.DataObject) -> Any:
    if not isinstance(value, dict):
        return value
    keys = draw.draw(st.permutations(sorted(value)))
    return {key: shuffled(value[key], draw) for key in keys}


@given(st.data(), st.sampled_from(list(GOOD_SPECS.values())))
def test_the_order_of_keys_does_not_matter(draw: st.DataObject, changes: dict[str, Any]) -> None:
    spec = changed(changes)
    assert hash_of(shuffled(spec, draw)) == hash_of(spec)


@given(st.integers(1, 1000))
def test_a_whole_number_may_be_written_with_a_point(epochs: int) -> None:
    with_point = {"training": {"epochs": float(epochs)}}
    assert hash_of(changed(with_point)) == hash_of(changed({"training": {"epochs": epochs}}))


def test_the_hash_survives_the_way_through_the_order() -> None:
    spec = LoRAFineTuneSpec.model_validate(changed({"training.learningRate": 1e-7, "lora.dropout": 0}))
    assert spec_hash(LoRAFineTuneSpec.model_validate_json(json.dumps(spec.dump()))) == spec_hash(spec)


def test_this_release_gives_the_hash_of_its_recipe() -> None:
    """A change of this value trains anew what is applied anew: bump RECIPE_VERSION on purpose or do not do it."""
    assert RECIPE_VERSION == 3
    assert hash_of(BASE) == "d8c3bd8600548ac4ae9b898a36261604be93cca7061dd8b91b6ae25d7ad7e878"


def test_the_hashes_of_earlier_releases_are_known() -> None:
    spec = LoRAFineTuneSpec.model_validate(BASE)
    first = "4912836b91389030b9c7dbb56c7a41bc8e5a5f7f5952d9745436deceb7ce513a"
    second = "2956fbd8267f8f6d83563a050ff44c1a0387e70f03d76f7d6f2034add9941285"
    assert [spec_hash(spec, recipe=recipe) for recipe in (1, 2)] == [first, second]
    assert is_hash_of(first, spec)
    assert is_hash_of(second, spec)
    assert is_hash_of(spec_hash(spec), spec)
    assert not is_hash_of(first, LoRAFineTuneSpec.model_validate(changed({"lora.r": 8})))


def test_this_release_has_the_defaults_of_the_first() -> None:
    """Fields at their default are not part of the hash: whoever changes a default bumps RECIPE_VERSION.

    A new field with a default changes this value too: then take over the new one.
    """
    full = LoRAFineTuneSpec.model_validate(BASE).dump()
    recipe = {part: full[part] for part in ("quantization", "lora", "training", "evaluation", "dataset", "chat")}
    assert digest(recipe) == "f643c2b2e60bb7ce5e251bc6b5109f1888573486a0f03f80b7a3186b921e3475"


def test_canonical_json_has_one_form() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "ä"}) == '{"a":"ä","b":[1,2.5]}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


def test_only_what_the_adapter_depends_on_is_hashed() -> None:
    relevant = training_relevant(LoRAFineTuneSpec.model_validate(BASE))
    assert {part: fields for part, fields in relevant.items() if fields} == {
        "model": {"id": "microsoft/Phi-4-mini-instruct"},
        "training": {"maxSteps": 100},
    }


def test_the_run_is_known_by_recipe_model_data_and_token() -> None:
    parts = {"spec_hash": "a" * 64, "model_commit": "b" * 40, "dataset_digest": "c" * 64, "run_token": ""}
    first = run_id(**parts)
    assert len(first) == 32
    assert first == run_id(**parts)
    others = [run_id(**(parts | {name: "d"})) for name in parts]
    assert len({first, *others}) == 5


def test_the_parent_counts_only_where_there_is_one() -> None:
    parts = {"spec_hash": "a" * 64, "model_commit": "b" * 40, "dataset_digest": "c" * 64, "run_token": ""}
    assert run_id(**parts) == run_id(**parts, parent_digest=None)
    assert len({run_id(**parts), *(run_id(**parts, parent_digest=digit * 64) for digit in "de")}) == 3


def test_the_date_counts_only_where_a_chat_template_writes_it() -> None:
    parts = {"spec_hash": "a" * 64, "model_commit": "b" * 40, "dataset_digest": "c" * 64, "run_token": ""}
    assert run_id(**parts) == run_id(**parts, template_date=None) == "d96c2ce941bec14319285df5091b5621"
    assert len({run_id(**parts), *(run_id(**parts, template_date=f"2026-11-{day}") for day in (29, 30))}) == 3
