"""The CustomResourceDefinition as a document: names, columns, conventions, and the schema of spec and status."""

from __future__ import annotations

from typing import Any

from lora_contract import names
from lora_contract.crd.schema import RULES, Schema, structural
from lora_contract.spec import LoRAFineTuneSpec
from lora_contract.status import LoRAFineTuneStatus

#: Name, type, path and whether only `kubectl get -o wide` shows it.
_COLUMNS = (
    ("Phase", "string", ".status.phase", False),
    ("Progress", "string", ".status.progress.summary", False),
    ("Loss", "string", ".status.metrics.trainLoss", False),
    ("ETA", "string", ".status.progress.eta", False),
    ("Age", "date", ".metadata.creationTimestamp", False),
    ("Model", "string", ".spec.model.id", True),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', True),
    ("Node", "string", ".status.attempts[-1:].node", True),
    ("Adapter", "string", ".status.artifact.uri", True),
)


def custom_resource_definition() -> dict[str, Any]:
    """The whole document, as `kubectl apply` takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.PLURAL}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": [names.SHORT_NAME],
                "categories": ["ml"],
            },
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    return {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "selectableFields": [{"jsonPath": ".status.phase"}],
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, **({"priority": 1} if wide else {})}
            for name, kind, path, wide in _COLUMNS
        ],
        "schema": {"openAPIV3Schema": _object()},
    }


def _object() -> Schema:
    return {
        "description": "One LoRA fine-tuning run: from a dataset in S3 to a verified adapter in S3.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {names.API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {names.KIND}."},
            "metadata": {"type": "object"},  # the API server takes no description of ours here
            "spec": _spec(),
            "status": _status(),
        },
        RULES: [
            {
                "rule": f"size(self.metadata.name) <= {names.MAX_NAME_LENGTH}",
                "message": f"metadata.name must be at most {names.MAX_NAME_LENGTH} characters; names of Jobs"
                " are made of it",
            },
            {
                "rule": "!self.metadata.name.contains('.')",
                "message": "metadata.name must not contain '.'; names of hosts are made of it; use '-'",
            },
        ],
    }


def _spec() -> Schema:
    schema = structural(LoRAFineTuneSpec)
    transitions = [{"rule": cel, "message": message} for cel, message in LoRAFineTuneSpec.transition_rules]
    return {**schema, RULES: [*schema.get(RULES, []), *transitions]}


def _status() -> Schema:
    schema = structural(LoRAFineTuneStatus, defaults=False)
    # Server-side apply merges conditions by their type: other controllers may add theirs.
    schema["properties"]["conditions"].update({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
    # Without it tools that judge health (kstatus, Argo CD) take an object that nobody has seen for healthy.
    return {**schema, "default": {"observedGeneration": -1}}
