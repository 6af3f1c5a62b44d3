"""Who a run is: hashes that make sure nothing done is done twice."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lora_contract.finetune import LoRAFineTuneSpec

#: Bumped only when the same spec would give another adapter; then what is applied anew trains anew. An upgrade of
#: operator or image alone re-trains nothing, whatever the version. 2: the warm-up begins above a learning rate of 0.
#: 3: answers with weight 0 are not trained on, reasoning is, and each answer stands behind what a server is asked.
RECIPE_VERSION = 3

#: Parts of the spec that decide what the adapter is, and the fields of them that do not: addresses (content
#: digests stand for them), caches, and what only changes how the same result is reached.
_PARTS: dict[str, frozenset[str]] = {
    "model": frozenset({"revision", "allowFloatingRevision", "source", "tokenSecretName", "cache"}),
    "from": frozenset({"adapter", "run"}),
    "dataset": frozenset({"uri", "validationUri", "testUri"}),
    "method": frozenset(),
    "chat": frozenset({"templateUri"}),
    "quantization": frozenset(),
    "lora": frozenset(),
    "training": frozenset({"microBatchSize", "saveSteps"}),
    "evaluation": frozenset(),
}


#: Parts that releases added later; without content they are left out, so that specs of before keep their hash.
_ADDED = frozenset({"chat", "method"})
#: Parts that are left out where they are absent; present without content they say that a digest stands for them.
_WHERE_PRESENT = frozenset({"from"})


def canonical_json(value: Any) -> str:
    """Write JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Hash the canonical JSON with sha256, to 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def training_relevant(spec: LoRAFineTuneSpec) -> dict[str, Any]:
    """Keep the part of a spec that the adapter depends on, without fields at their default.

    So defaults may be written out or not, and a release that adds a field with a default re-trains nothing;
    one that changes a default must bump `RECIPE_VERSION`.
    Whole numbers written as floats (`epochs: 1.0`) count as whole numbers: the API server stores either.
    """
    given = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    parts = {
        part: {field: value for field, value in given.get(part, {}).items() if field not in left_out}
        for part, left_out in _PARTS.items()
    }
    if "sources" in parts["dataset"]:
        parts["dataset"]["sources"] = _normal_sources(parts["dataset"]["sources"])
    absent = _ADDED | (_WHERE_PRESENT - given.keys())
    parts = {part: fields for part, fields in parts.items() if fields or part not in absent}
    return _whole_numbers(parts)  # type: ignore[no-any-return]


def _normal_sources(sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort sources by name, without addresses: their order says nothing, and one pass is what they have anyway."""
    kept = [
        {key: value for key, value in source.items() if key != "uri" and (key, value) != ("repeats", 1)}
        for source in sources
    ]
    return sorted(kept, key=lambda source: source["name"])


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def spec_hash(spec: LoRAFineTuneSpec, *, recipe: int = RECIPE_VERSION) -> str:
    """Compute the identity of the recipe: 64 hexadecimal digits."""
    return digest({"recipe": recipe, "spec": training_relevant(spec)})


def is_hash_of(found: str, spec: LoRAFineTuneSpec) -> bool:
    """Return whether a hash is that of a spec, in this release or an earlier one."""
    return any(found == spec_hash(spec, recipe=version) for version in range(RECIPE_VERSION, 0, -1))


def run_id(
    *,
    spec_hash: str,
    model_commit: str,
    dataset_digest: str,
    run_token: str,
    template_digest: str | None = None,
    template_date: str | None = None,
    parent_digest: str | None = None,
) -> str:
    """Compute the identity of the result: 32 hexadecimal digits, equal in every cluster.

    `template_digest` is the sha256 of what chat.templateUri holds, `template_date` the date (RFC 3339) that a chat
    template which reads the clock writes into the rows, `parent_digest` the sha256 of the manifest of the adapter that
    the run goes on from.
    """
    parts = {"spec": spec_hash, "model": model_commit, "dataset": dataset_digest}
    if run_token:
        parts["token"] = run_token
    if template_digest:
        parts["template"] = template_digest
    if template_date:
        parts["templateDate"] = template_date
    if parent_digest:
        parts["parent"] = parent_digest
    return digest(parts)[:32]
