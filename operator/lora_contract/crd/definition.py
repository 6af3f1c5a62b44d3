"""A CustomResourceDefinition as a document: names, columns, conventions, and the schema of spec and status."""

from __future__ import annotations

from typing import Any

from lora_contract import names
from lora_contract.crd.resources import FINE_TUNE, Resource
from lora_contract.crd.schema import RULES, Schema, structural


def custom_resource_definition(resource: Resource = FINE_TUNE) -> dict[str, Any]:
    """Build the whole document, as `kubectl apply` takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.name},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.singular,
                "shortNames": [resource.short_name],
                "categories": ["ml"],
            },
            "versions": [_version(resource)],
        },
    }


def _version(resource: Resource) -> dict[str, Any]:
    return {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "selectableFields": [{"jsonPath": ".status.phase"}],
        "additionalPrinterColumns": [
            {
                "name": column.name,
                "type": column.type,
                "jsonPath": column.path,
                **({"priority": 1} if column.wide else {}),
            }
            for column in resource.columns
        ],
        "schema": {"openAPIV3Schema": _object(resource)},
    }


def _object(resource: Resource) -> Schema:
    return {
        "description": resource.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {names.API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {resource.kind}."},
            "metadata": {"type": "object"},  # the API server takes no description of ours here
            "spec": _spec(resource),
            "status": _status(resource),
        },
        RULES: [
            {
                "rule": rule.cel,
                **({"optionalOldSelf": True} if "oldSelf" in rule.cel else {}),
                "message": rule.message,
            }
            for rule in resource.name_rules
        ],
    }


def _spec(resource: Resource) -> Schema:
    schema = structural(resource.spec)
    transitions = [{"rule": cel, "message": message} for cel, message in resource.transition_rules]
    return {**schema, RULES: [*schema.get(RULES, []), *transitions]}


def _status(resource: Resource) -> Schema:
    schema = structural(resource.status, defaults=False)
    # Server-side apply merges conditions by their type: other controllers may add theirs.
    schema["properties"]["conditions"].update({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
    # Without it tools that judge health (kstatus, Argo CD) take an object that nobody has seen for healthy.
    return {**schema, "default": {"observedGeneration": -1}}
