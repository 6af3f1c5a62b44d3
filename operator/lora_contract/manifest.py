"""A LoRAFineTune or LoRASweep as a user wrote it: refused here exactly where the cluster would refuse it.

What only a cluster can know stays out: rights, endpoints of the platform, and what may change of an object that exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import Field, StringConstraints, ValidationError

from lora_contract import names
from lora_contract.base import SpecModel, explained
from lora_contract.crd.resources import RESOURCES, Resource
from lora_contract.finetune.fields import DNS_LABEL, DNS_SUBDOMAIN, LABEL_KEY, LABEL_VALUE
from lora_contract.sweep import LoRASweepSpec, trials_of
from lora_contract.yaml_documents import DocumentError

PartT = TypeVar("PartT", bound=SpecModel)

_KINDS = {resource.kind: resource for resource in RESOURCES}
_PARTS = ("apiVersion", "kind", "metadata", "spec", "status")
_NAME = "must be lower-case letters, digits and '-', beginning and ending with a letter or digit"


class Metadata(SpecModel):
    """The metadata that a user may write; the API server knows more, which it sets itself."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    namespace: Annotated[str, StringConstraints(max_length=63)] | None = None
    labels: dict[str, str] = Field({})
    annotations: dict[str, str] = Field({})
    generate_name: Any = None
    finalizers: Any = None
    owner_references: Any = None
    uid: Any = None
    resource_version: Any = None
    generation: Any = None
    creation_timestamp: Any = None
    deletion_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    managed_fields: Any = None
    self_link: Any = None


class Manifest(NamedTuple):
    """A document that may be applied."""

    kind: str
    namespace: str | None
    name: str
    spec: SpecModel


def is_ours(document: Any) -> bool:
    """Return whether a document says that it is of our API group, or has one of our kinds."""
    if not isinstance(document, Mapping):
        return False
    group = str(document.get("apiVersion", "")).partition("/")[0]
    return group == names.GROUP or document.get("kind") in _KINDS


def ours_of(documents: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Select the documents that are ours, those in a list too, such as `kubectl get --output yaml` writes."""
    for document in documents:
        items = document.get("items") if isinstance(document, Mapping) else None
        if isinstance(items, list) and str(document.get("kind", "")).endswith("List"):
            yield from ours_of(items)
        elif is_ours(document):
            yield document


def read_manifest(document: Any, *, cluster: bool) -> Manifest:
    """Read a document that `is_ours`. `cluster`: for a cluster, which cannot read files of this machine.

    Raises:
        DocumentError: a part is unknown, missing or wrong; each fault names its path.
    """
    resource = _KINDS.get(document.get("kind"))
    if resource is None:
        raise DocumentError(f"kind: must be {' or '.join(_KINDS)}")
    faults = [f"{key}: unknown field" for key in document if key not in _PARTS]
    if document.get("apiVersion") != names.API_VERSION:
        faults.append(f"apiVersion: must be {names.API_VERSION}")
    metadata = _part(Metadata, "metadata", document, faults)
    spec = _part(resource.spec, "spec", document, faults, cluster=cluster)
    if metadata is not None:
        faults += _faults(metadata, resource)
        if isinstance(spec, LoRASweepSpec):
            try:
                trials_of(metadata.name, spec)
            except ValueError as error:
                faults.append(f"spec.{error}")
    if faults or metadata is None or spec is None:
        raise DocumentError(*faults)
    return Manifest(resource.kind, metadata.namespace, metadata.name, spec)


def _part(
    model: type[PartT], name: str, document: Mapping[str, Any], faults: list[str], *, cluster: bool = False
) -> PartT | None:
    try:
        return model.read(document.get(name) or {}, cluster=cluster)
    except ValidationError as error:
        faults += explained(error, name, model)
        return None


def _faults(metadata: Metadata, resource: Resource) -> Iterator[str]:
    if re.fullmatch(DNS_SUBDOMAIN, metadata.name) is None:
        yield f"metadata.name: {_NAME}"
    yield from (rule.message for rule in resource.name_rules if not rule.holds(metadata.name))
    if metadata.namespace and re.fullmatch(DNS_LABEL, metadata.namespace) is None:
        yield f"metadata.namespace: {_NAME}"
    for part, entries in (("labels", metadata.labels), ("annotations", metadata.annotations)):
        yield from (
            f"metadata.{part}: {key} is no key; write name or domain/name"
            for key in entries
            if re.fullmatch(LABEL_KEY, key, re.ASCII) is None
        )
    for key, value in metadata.labels.items():
        if re.fullmatch(LABEL_VALUE, value, re.ASCII) is None:
            yield f"metadata.labels.{key}: must be at most 63 letters, digits, '-', '_' and '.'"
