"""The kinds of object that the operator watches, and the keys of objects."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from lora_contract import names
from lora_operator.core.observe.observed import KUEUE_JOB_UID_LABEL
from lora_operator.core.observe.owner import Owner

OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


class Key(NamedTuple):
    """Namespace and name of an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """As kubectl prints it."""
        return f"{self.namespace}/{self.name}"


class Kind(Enum):
    """A kind: group, version, plural, its name in manifests, and the label selector that the API server filters by."""

    FINETUNE = (names.GROUP, names.VERSION, names.PLURAL, names.KIND, "")
    JOB = ("batch", "v1", "jobs", "Job", OURS)
    POD = ("", "v1", "pods", "Pod", OURS)
    #: Kueue makes them for every queued Job of the cluster and says in a label for which.
    WORKLOAD = ("kueue.x-k8s.io", "v1beta2", "workloads", "Workload", KUEUE_JOB_UID_LABEL)
    #: Listed after the runs: a sweep that is looked at before its trials are known would create them again.
    SWEEP = (names.GROUP, names.VERSION, names.SWEEP_PLURAL, names.SWEEP_KIND, "")

    def __init__(self, group: str, version: str, plural: str, singular: str, selector: str) -> None:
        self.group = group
        self.version = version
        self.plural = plural
        self.singular = singular
        self.selector = selector

    @property
    def root(self) -> str:
        """Path of the group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Return the path of one object, of the objects of a namespace, or of all."""
        parts = [self.root, *(["namespaces", namespace] if namespace else []), self.plural, *([name] if name else [])]
        return "/".join(parts)

    def owner(self, namespace: str, uid: str) -> Owner:
        """Name an object of this kind as the controller of others."""
        return Owner(namespace, self.group, self.singular, uid)


def services_path(namespace: str) -> str:
    """Return the path of the Services of a namespace: they are created, never watched."""
    return f"/api/v1/namespaces/{namespace}/services"


def network_policies_path(namespace: str | None) -> str:
    """Return the path of the NetworkPolicies of a namespace, or of all: ours are listed now and then, never watched."""
    where = f"namespaces/{namespace}/" if namespace else ""
    return f"/apis/networking.k8s.io/v1/{where}networkpolicies"


#: Without these the operator does not start; the others may come and go.
REQUIRED = frozenset({Kind.FINETUNE, Kind.JOB, Kind.POD})
