"""Bad specs of runs that go on from an adapter."""

from __future__ import annotations

from support.bad_spec import bad

OF_PARENTS = (
    bad("no parent named", {"from": {}}, "spec.from", "exactly one of from.adapter and from.run"),
    bad(
        "two parents",
        {"from": {"adapter": "s3://adapters/a", "run": "a"}},
        "spec.from",
        "exactly one of from.adapter and from.run",
    ),
    bad("unknown parent", {"from": {"model": "a"}}, 'unknown field "spec.from.model"'),
    bad("a parent of another namespace", {"from": {"run": "team-b/a"}}, "spec.from.run", "name of an object"),
    bad("a parent on a web server", {"from": {"adapter": "https://host/a"}}, "spec.from.adapter", "s3://bucket/key"),
    bad("a parent that climbs", {"from": {"adapter": "s3://adapters/../a"}}, "spec.from.adapter", "write the full key"),
    bad(
        "gate on a parent without one",
        {"evaluation.gate.maxLossRatioToParent": 1},
        "evaluation.gate.maxLossRatioToParent needs from",
        "or remove it",
    ),
    bad(
        "gate on a parent without rows",
        {"from": {"run": "a"}, "evaluation.gate.maxLossRatioToParent": 1, "dataset.split.test": 0},
        "evaluation.gate needs rows",
        "set dataset.testUri",
    ),
    bad(
        "gate on a parent of 0",
        {"from": {"run": "a"}, "evaluation.gate.maxLossRatioToParent": 0},
        "gate.maxLossRatioToParent",
        "greater than 0",
    ),
)
