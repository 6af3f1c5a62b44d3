"""From a sweep's spec to its trials."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from lora_contract.identity import spec_hash
from lora_contract.sweep import LoRASweepSpec, Trial, trials_of
from lora_contract.sweep.varied import DPO_FIELDS, KTO_FIELDS, LORA_FIELDS, TRAINING_FIELDS
from support.specs import BASE, REMOVED
from support.sweeps import sweep


def trials(changes: dict[str, Any]) -> tuple[Trial, ...]:
    return trials_of("rates", LoRASweepSpec.model_validate(sweep(changes)))


def test_a_grid_combines_every_value_with_every_other() -> None:
    found = trials({})

    assert [(trial.name, trial.parameters) for trial in found] == [
        ("rates-00", {"lora.r": "8", "training.learningRate": "0.0001"}),
        ("rates-01", {"lora.r": "8", "training.learningRate": "0.0002"}),
        ("rates-02", {"lora.r": "16", "training.learningRate": "0.0001"}),
        ("rates-03", {"lora.r": "16", "training.learningRate": "0.0002"}),
    ]
    assert found[0].spec.lora.r == 8
    assert found[0].spec.training.learning_rate == 0.0001
    assert found[0].spec.training.max_steps == BASE["training"]["maxSteps"]


def test_a_list_sets_what_each_trial_says_over_the_template() -> None:
    found = trials({
        "grid": REMOVED,
        "trials": [{}, {"lora": {"targetModules": ["q_proj", "v_proj"], "useRslora": True}}],
    })  # fmt: skip

    assert [trial.parameters for trial in found] == [
        {}, {"lora.targetModules": "q_proj,v_proj", "lora.useRslora": "true"},
    ]  # fmt: skip
    assert found[1].spec.lora.target_modules == ["q_proj", "v_proj"]


def test_every_varied_field_is_part_of_the_identity_of_a_run() -> None:
    """Else two trials would be the same run, and one of them for nothing."""
    values = {
        "r": 8, "alpha": 16, "dropout": 0.1, "targetModules": ["q_proj"], "useRslora": True,
        "maxSteps": 50, "effectiveBatchSize": 8, "learningRate": 0.5, "schedule": "linear",
        "warmupRatio": 0.1, "weightDecay": 0.5, "maxGradNorm": 0.5, "seed": 7,
    }  # fmt: skip
    assert len(values) == len(LORA_FIELDS) + len(TRAINING_FIELDS) - 1  # epochs and maxSteps exclude each other
    changes = [{"lora" if list(values).index(name) < len(LORA_FIELDS) else "training": {name: value}}
               for name, value in values.items()]  # fmt: skip
    found = trials({"grid": REMOVED, "trials": [{}, *changes]})

    assert len({spec_hash(trial.spec) for trial in found}) == len(found)


def test_a_grid_varies_the_settings_of_the_templates_method() -> None:
    dpo = {"template.spec.method": {"dpo": {"sftWeight": 0.5}}}
    found = trials(dpo | {"grid": {"method": {"dpo": {"beta": [0.05, 0.1]}}, "lora": {"r": [8]}}})

    assert [trial.parameters for trial in found] == [
        {"lora.r": "8", "method.dpo.beta": "0.05"},
        {"lora.r": "8", "method.dpo.beta": "0.1"},
    ]
    methods = [trial.spec.method.dpo for trial in found if trial.spec.method is not None]
    assert [(dpo.beta, dpo.sft_weight) for dpo in methods if dpo is not None] == [(0.05, 0.5), (0.1, 0.5)]


@pytest.mark.parametrize(("method", "fields"), [("dpo", DPO_FIELDS), ("kto", KTO_FIELDS)])
def test_every_varied_field_of_a_method_is_part_of_the_identity_of_a_run(method: str, fields: tuple[str, ...]) -> None:
    values = {to_camel(name): True if name == "length_normalised" else 0.3 for name in fields}
    changes = [{}, *({"method": {method: {name: value}}} for name, value in values.items())]
    found = trials({"template.spec.method": {method: {}}, "grid": REMOVED, "trials": changes})

    assert len({spec_hash(trial.spec) for trial in found}) == len(fields) + 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"grid": {"method": {"kto": {"beta": [0.1]}}}, "template.spec.method": {"dpo": {}}},
            "template.spec has no method.kto, whose beta is to be varied; set it there",
        ),
        ({"grid": {}}, "grid: name at least one field"),
        ({"grid": {"training": {"seed": list(range(16)), "maxSteps": list(range(1, 8))}}}, "grid: 112 combinations"),
        ({"grid": {"lora": {"r": [8, 8]}}}, "trials 0 and 1 are the same (lora.r: 8); remove one of them"),
        (
            {"grid": REMOVED, "trials": [{}, {"lora": {"r": 16}}]},
            "trials 0 and 1 are the same (lora.r: 16); remove one of them",
        ),
        (
            {"grid": {"training": {"epochs": [1]}}},
            "trial 0 (training.epochs: 1): template.spec.training: set exactly one of training.maxSteps",
        ),
        (
            {"grid": {"training": {"effectiveBatchSize": [8, 9]}}, "template.spec.training.microBatchSize": 4},
            "trial 1 (training.effectiveBatchSize: 9): template.spec.training:"
            " training.effectiveBatchSize must be a multiple of training.microBatchSize",
        ),
    ],
)
def test_what_cannot_be_tried_is_refused_by_its_number(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=r"grid|trial|template") as caught:
        trials(changes)
    assert says in str(caught.value)
