"""Bad specs of preference tuning."""

from __future__ import annotations

from support.bad_spec import bad
from support.specs import REMOVED

OF_METHODS = (
    bad("no method named", {"method": {}}, "spec.method", "exactly one of method.dpo and method.kto"),
    bad("two methods", {"method": {"dpo": {}, "kto": {}}}, "spec.method", "exactly one of method.dpo and method.kto"),
    bad("unknown method", {"method": {"ppo": {}}}, 'unknown field "spec.method.ppo"'),
    bad("beta 0", {"method": {"dpo": {"beta": 0}}}, "spec.method.dpo.beta", "greater than 0"),
    bad("beta as text", {"method": {"dpo": {"beta": "0.1"}}}, "spec.method.dpo.beta", "must be of type number"),
    bad(
        "beta of another size", {"method": {"kto": {"beta": 1000}}}, "spec.method.kto.beta", "less than or equal to 100"
    ),
    bad(
        "negative weight", {"method": {"dpo": {"sftWeight": -1}}}, "method.dpo.sftWeight", "greater than or equal to 0"
    ),
    bad("weight 0", {"method": {"kto": {"undesirableWeight": 0}}}, "method.kto.undesirableWeight", "greater than 0"),
    bad(
        "a field of the other method",
        {"method": {"kto": {"sftWeight": 0.1}}},
        'unknown field "spec.method.kto.sftWeight"',
    ),
    bad(
        "gate on preferences without method",
        {"evaluation.gate.minPreferenceAccuracy": 0.9},
        "evaluation.gate.minPreferenceAccuracy needs method",
        "method: {dpo: {}}",
    ),
    bad(
        "gate on preferences above 1",
        {"method": {"dpo": {}}, "evaluation.gate.minPreferenceAccuracy": 90},
        "gate.minPreferenceAccuracy",
        "less than or equal to 1",
    ),
    bad(
        "gate on preferences without rows",
        {"method": {"dpo": {}}, "evaluation.gate.minPreferenceAccuracy": 0.9, "dataset.split.test": 0},
        "evaluation.gate needs rows",
        "set dataset.testUri",
    ),
    bad(
        "gate on answers of which some are unwanted",
        {"method": {"kto": {}}, "evaluation.gate.minExactMatch": 0.5},
        "cannot be measured with method.kto",
        "use minPreferenceAccuracy",
    ),
    bad(
        "forgetting on preferences",
        {
            "method": {"dpo": {}},
            "dataset": {"sources": [{"name": "a", "uri": "s3://datasets/a"}]},
            "evaluation.gate": {"maxForgettingRatio": 1.1, "forgettingSource": "a"},
        },
        "evaluation.gate.forgettingSource cannot be measured with method",
        "remove it",
    ),
    bad(
        "whole conversations as preferences",
        {"method": {"dpo": {}}, "training.trainOn": "all"},
        "training.trainOn: all does not go with method",
        "use assistant or last",
    ),
    bad(
        "a format beside a method",
        {"method": {"dpo": {}}, "dataset.format": "messages"},
        "dataset.format does not go with method",
        "remove it",
    ),
    bad(
        "a format of a source beside a method",
        {
            "method": {"kto": {}},
            "dataset.uri": REMOVED,
            "dataset.sources": [{"name": "a", "uri": "s3://datasets/a", "format": "text"}],
        },
        "dataset.format does not go with method",
    ),
    bad(
        "a column of labels beside pairs",
        {"method": {"dpo": {}}, "dataset.columns": {"label": "liked"}},
        "dataset.columns.label goes with method.kto",
    ),
    bad(
        "columns of pairs beside labels",
        {"method": {"kto": {}}, "dataset.columns": {"chosen": "better"}},
        "dataset.columns.chosen and rejected go with method.dpo",
    ),
)
