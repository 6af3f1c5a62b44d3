"""What users, pods and stored objects rely on, as flat facts: `path -> value`.

`python -m support.released_api` prints them; at a release its output replaces `tests/unit/contract/released_api.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lora_contract import names
from lora_contract.crd import custom_resource_definition
from lora_contract.crd.resources import RESOURCES
from lora_contract.exit_codes import ExitCode
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.identity import run_id, spec_hash
from lora_contract.layout import RunLayout
from lora_contract.order import Order
from lora_contract.reasons import Reason
from lora_contract.report import Report

ROOT = Path(__file__).parents[2]
_OF_A_FIELD = ("type", "format", "default", "enum", "x-kubernetes-int-or-string")
_LAYOUT = RunLayout("s3://bucket/out", "0" * 32)
_SPECS: dict[str, dict[str, Any]] = {
    "smallest": {"training": {"epochs": 1}},
    "full": {
        "lora": {"r": 8, "alpha": 8, "targetModules": ["q_proj"]},
        "training": {"epochs": 1.0, "learningRate": 1e-4, "maxLength": 512, "effectiveBatchSize": 16},
        "quantization": {"type": "none"},
        "evaluation": {"samples": 4},
    },
}


def facts() -> dict[str, Any]:
    """Each fact of the present state, by its path."""
    return {path: value for part in (_definitions(), _words(), _objects(), _values()) for path, value in part}


def _definitions() -> Iterator[tuple[str, Any]]:
    for resource in RESOURCES:
        definition = custom_resource_definition(resource)
        kind = definition["spec"]["names"]["kind"]
        for version in definition["spec"]["versions"]:
            yield from _fields(f"{kind}/{version['name']}", version["schema"]["openAPIV3Schema"])
    for model in (Order, Report):
        for name, field in model.model_fields.items():
            yield f"{model.__name__}.{field.alias or name}", "field"


def _fields(path: str, schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield path, {key: schema[key] for key in _OF_A_FIELD if key in schema}
    for name, field in schema.get("properties", {}).items():
        yield from _fields(f"{path}.{name}", field)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _fields(f"{path}[]", schema[key])


def _words() -> Iterator[tuple[str, Any]]:
    for code in ExitCode:
        yield f"exit code {code.name}", int(code)
    for reason in Reason:
        yield f"reason {reason.name}", str(reason)
    for name in ("GROUP", "VERSION", "PLURAL", "SWEEP_PLURAL", "ENV_ORDER", *filter(_is_label, vars(names))):
        yield f"name {name}", getattr(names, name)


def _is_label(name: str) -> bool:
    return name.startswith(("LABEL_", "ANNOTATION_"))


def _objects() -> Iterator[tuple[str, Any]]:
    yield "published", _LAYOUT.published("run")
    for name in ("pointer", "template_date", "work", "prepared", "claims", "checkpoints"):
        yield name, getattr(_LAYOUT, name)
    yield "claim", _LAYOUT.claim(7)
    yield "checkpoint", _LAYOUT.checkpoint(7, 40)
    yield "group key", _LAYOUT.group_key("key")
    for name, parts in _SPECS.items():
        spec = LoRAFineTuneSpec.model_validate(
            {
                "model": {"id": "org/model", "revision": "a" * 40},
                "dataset": {"uri": "s3://bucket/data.jsonl"},
                "output": {"uri": "s3://bucket/out"},
                **parts,
            }
        )
        for recipe in (1, 2):
            yield f"specHash of recipe {recipe}, {name}", spec_hash(spec, recipe=recipe)
    yield (
        "runId",
        run_id(spec_hash="a" * 64, model_commit="b" * 40, dataset_digest="c" * 64, run_token=""),
    )


def _values() -> Iterator[tuple[str, Any]]:
    values = yaml.safe_load((ROOT / "charts/lora-operator/values.yaml").read_text())
    yield from _leaves("chart value", values)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(f"{path} {key}" if path == "chart value" else f"{path}.{key}", inner)
    elif path != "chart value image.tag":
        yield path, type(value).__name__


if __name__ == "__main__":
    print(json.dumps(facts(), indent=1, sort_keys=True, default=str))
