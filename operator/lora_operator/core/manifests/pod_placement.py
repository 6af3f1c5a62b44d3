"""Where the pod of a stage runs: the platform's fields of its spec, what the run asks for, and away from bad nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lora_contract import names
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.order import Order
from lora_operator.settings import Settings

#: How long a train pod waits for a node that stopped answering before it is moved.
_DEAD_NODE_SECONDS = 60
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

Json = dict[str, Any]


def placement(order: Order, settings: Settings, avoid_nodes: Sequence[str]) -> Json:
    """Build the fields of the pod's spec. Where run and platform disagree, the run has the last word."""
    if order.stage == names.STAGE_TRAIN:
        fields = settings.train_pod_spec.dump()
        fields["tolerations"] = _tolerations(order.spec, fields.get("tolerations", []))
        if selector := node_selector(order.spec, settings):
            fields["nodeSelector"] = selector
    else:
        fields = settings.prepare_pod_spec.dump()
    if avoid_nodes:
        fields["affinity"] = _away_from(avoid_nodes, fields.get("affinity", {}))
    return fields


def node_selector(spec: LoRAFineTuneSpec, settings: Settings) -> dict[str, str]:
    """Join the labels that platform and run ask of the nodes of train pods."""
    return {**settings.train_pod_spec.node_selector, **spec.compute.node_selector}


def _tolerations(spec: LoRAFineTuneSpec, platform: Sequence[Json]) -> list[Json]:
    """Join tolerations. Of two for one taint Kubernetes takes the shorter time, so the user's key counts alone."""
    tolerations: list[Json] = [toleration.dump() for toleration in spec.compute.tolerations]
    for others in (platform, _leave_dead_nodes()):
        known = {toleration.get("key") for toleration in tolerations}
        tolerations += [toleration for toleration in others if toleration.get("key") not in known]
    return tolerations


def _leave_dead_nodes() -> list[Json]:
    """Shorten the five minutes that Kubernetes waits: a run resumes from its checkpoint, and claims fence the pod."""
    taints = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    return [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _DEAD_NODE_SECONDS}
        for key in taints
    ]


def _away_from(nodes: Sequence[str], affinity: Json) -> Json:
    """Prefer other nodes, but do not require them: the failed one may have been mended."""
    other = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": list(nodes)}
    term = {"weight": 100, "preference": {"matchExpressions": [other]}}
    of_nodes = affinity.get("nodeAffinity", {})
    return affinity | {"nodeAffinity": of_nodes | {_PREFERRED: [*of_nodes.get(_PREFERRED, ()), term]}}
