"""Whose an object is.

An ownerReference is a claim: who may create objects in one namespace can write the uid of an object of any other into
it. Owners are therefore looked for in the namespace of the object alone, by kind and uid, and the object counts only
if its owner `made` it: if it is what the operator, or the Job controller for it, makes. Inside a namespace nothing
more can be known: who may edit Jobs and pods there can write whatever the operator would write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lora_contract import names


class Owner(NamedTuple):
    """The controller of an object, which is of the object's own namespace.

    Group without version: a later version of an API is the same object.
    """

    namespace: str
    group: str
    kind: str
    uid: str


def controller_of(metadata: Mapping[str, Any]) -> Owner | None:
    """Find the object that controls another, given the metadata of the latter; None where none does."""
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            group = str(reference.get("apiVersion") or "").rpartition("/")[0]
            return Owner(metadata["namespace"], group, str(reference.get("kind")), str(reference.get("uid")))
    return None


def is_managed(labels: Mapping[str, str]) -> bool:
    """Return whether an object says that the operator made it."""
    return labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY
