"""Bad specs whose fault is in an address of data, in dataset.sources, or in what refers to them."""

from __future__ import annotations

from typing import Any

from support.bad_spec import bad
from support.specs import REMOVED


def _sources(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Sources that would be right without these changes."""
    return [{"name": f"s{n}", "uri": f"s3://datasets/{n}", **change} for n, change in enumerate(changes)]


def _only(sources: list[dict[str, Any]]) -> dict[str, Any]:
    return {"dataset.uri": REMOVED, "dataset.sources": sources}


OF_SOURCES = (
    bad("data on the Hub without a commit", {"dataset.uri": "hf://datasets/org/name"}, "dataset.uri", "40 hexadecimal"),
    bad("data on a branch", {"dataset.uri": "hf://datasets/org/name@main/train"}, "dataset.uri", "a branch or tag may"),
    bad(
        "a model as data",
        {"dataset.uri": f"hf://org/name@{'a' * 40}"},
        "spec.dataset.uri",
        "must be hf://datasets/OWNER/NAME@COMMIT",
    ),
    bad(
        "data on the Hub that climbs",
        {"dataset.uri": f"hf://datasets/org/name@{'a' * 40}/../x"},
        "spec.dataset.uri",
        "'.' or '..'",
    ),
    bad("a claim with capitals", {"dataset.testUri": "pvc://Data/x"}, "spec.dataset.testUri", "pvc://CLAIM/PATH"),
    bad("a claim that climbs", {"dataset.uri": "pvc://data/../../etc"}, "spec.dataset.uri", "'.' or '..'"),
    bad(
        "data of two claims",
        {"dataset.uri": "pvc://a/x", "dataset.testUri": "pvc://b/x"},
        "spec.dataset",
        "from one PersistentVolumeClaim at most",
    ),
    bad("a claim for the output", {"output.uri": "pvc://data/out"}, "spec.output.uri", "must be a storage address"),
    bad(
        "an address and sources",
        {"dataset.sources": _sources({})},
        "spec.dataset",
        "set exactly one of dataset.uri and",
    ),
    bad(
        "neither address nor sources", {"dataset": {"format": "text"}}, "spec.dataset", "set exactly one of dataset.uri"
    ),
    bad("no source at all", _only([]), "spec.dataset.sources", "at least 1 items"),
    bad("too many sources", _only(_sources(*[{}] * 17)), "spec.dataset.sources", "at most 16 items"),
    bad("two sources of one name", _only(_sources({"name": "a"}, {"name": "a"})), "spec.dataset", "rename one of them"),
    bad("a source with capitals", _only(_sources({"name": "Support"})), "spec.dataset.sources[0].name", "lower-case"),
    bad("a source without an address", _only([{"name": "a"}]), "spec.dataset.sources[0].uri", "Required value"),
    bad(
        "a source over http",
        _only(_sources({"uri": "https://host/rows.jsonl"})),
        "spec.dataset.sources[0].uri",
        "s3://bucket/key",
    ),
    bad(
        "share and repeats",
        _only(_sources({"share": 1, "repeats": 2})),
        "spec.dataset.sources[0]",
        "share or repeats, not both",
    ),
    bad(
        "a share for one source alone",
        _only(_sources({"share": 0.5}, {})),
        "spec.dataset",
        "give every source of dataset.sources a share",
    ),
    bad(
        "shares of more than all",
        _only(_sources({"share": 0.7}, {"share": 0.4})),
        "spec.dataset",
        "the shares of dataset.sources must add up to 1",
    ),
    bad("a share of nothing", _only(_sources({"share": 0})), "spec.dataset.sources[0].share", "greater than 0"),
    bad("no repeats", _only(_sources({"repeats": 0})), "spec.dataset.sources[0].repeats", "greater than or equal to 1"),
    bad(
        "a system prompt for documents of sources",
        {**_only(_sources({"format": "text"})), "dataset.systemPrompt": "You are a nurse."},
        "spec.dataset",
        "dataset.systemPrompt has no place",
    ),
    bad(
        "a source inside the output",
        {**_only(_sources({}, {"uri": "s3://out/a/rows"})), "output.uri": "s3://out/a/"},
        "spec",
        "output.uri and the addresses of dataset.sources must not contain each other",
    ),
    bad(
        "forgetting on a source that is none",
        {**_only(_sources({})), "evaluation.gate": {"maxForgettingRatio": 1.1, "forgettingSource": "general"}},
        "spec",
        "must be the name of a source",
    ),
    bad(
        "a source to forget without a limit",
        {**_only(_sources({})), "evaluation.gate": {"forgettingSource": "s0"}},
        "spec.evaluation.gate",
        "forgettingSource needs evaluation.gate.maxForgettingRatio",
    ),
)
