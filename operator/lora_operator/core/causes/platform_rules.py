"""What to change where a ResourceQuota or LimitRange refuses a pod: the API server's message names the resource.

The messages are those of Kubernetes' admission plugins ResourceQuota
(k8s.io/apiserver/pkg/admission/plugin/resourcequota, pkg/quota/v1/evaluator/core/pods.go) and LimitRanger
(plugin/pkg/admission/limitranger), and those with which the API server compares a request with a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lora_contract import names
from lora_contract.finetune.quantity import parse_quantity

#: Where requests and limits of a pod are set: fields of the run, or values of the chart, which begin with `trainer.`.
_FIELDS = {
    "train": {
        "requests.cpu": "compute.cpu",
        "limits.cpu": "compute.cpuLimit",
        "requests.memory": "compute.memory",
        "limits.memory": "compute.memory",
        "requests.ephemeral-storage": "trainer.ephemeralStorage",
        "limits.ephemeral-storage": "trainer.ephemeralStorage",
    },
    "prepare": {
        "requests.cpu": "trainer.prepare.cpu",
        "limits.cpu": "trainer.prepare.cpuLimit",
        "requests.memory": "trainer.prepare.memory",
        "limits.memory": "trainer.prepare.memory",
        "requests.ephemeral-storage": "trainer.prepare.ephemeralStorage",
        "limits.ephemeral-storage": "trainer.prepare.ephemeralStorage",
    },
}
_MISSING = re.compile(r"([a-z.-]+) for: ([a-z0-9,.-]+)")
_BOUND = re.compile(
    r"(?P<kind>minimum|maximum) (?P<resource>[a-z-]+) usage per (?:Container|Pod) is (?P<bound>[0-9A-Za-z.]+?)"
    r"(?:\.  No (?P<without>request|limit) is specified|, but (?P<part>request|limit) is)"
)
_RATIO = re.compile(r"(?P<resource>[a-z-]+) max limit to request ratio per (?:Container|Pod) is")
_ABOVE_LIMIT = re.compile(r"must be less than or equal to (?P<resource>cpu|memory) limit")
_AMOUNTS = re.compile(r"requested: (?P<requested>\S+), used: \S+, limited: (?P<limited>\S+)")


def advice(message: str, stage: str) -> str:
    """Advise what to do about a refusal of a stage's pod; empty where the message is not of these rules."""
    return " ".join(dict.fromkeys(_advice(message, stage)))


def _advice(message: str, stage: str) -> Iterator[str]:
    if "must specify" in message:
        for resource, containers in _MISSING.findall(message):
            yield _specify(resource, containers.split(","), stage)
    for found in _BOUND.finditer(message):
        lower = found["kind"] == "maximum" and not found["without"]
        what = "Lower" if lower else "Set" if found["without"] else "Raise"
        resource = f"{found['without'] or found['part']}s.{found['resource']}"
        yield _change(what, resource, stage, f"a LimitRange of the namespace has the {found['kind']} {found['bound']}")
    for found in _RATIO.finditer(message):
        yield _change(
            "Set", f"limits.{found['resource']}", stage, "a LimitRange bounds how far it is above the request"
        )
    for found in _ABOVE_LIMIT.finditer(message):
        why = "a LimitRange of the namespace gives the pod a limit below its request"
        yield _change("Set", f"limits.{found['resource']}", stage, why)
    for found in _AMOUNTS.finditer(message):
        for resource, bound in _never(found["requested"], found["limited"]):
            why = f"the quota never gives more than {bound} {resource.removeprefix('requests.')}, so waiting is in vain"
            yield _change("Lower", resource, stage, why)


def _specify(resource: str, containers: list[str], stage: str) -> str:
    others = [name for name in containers if name != names.CONTAINER]
    if others:
        return (
            f"Something injected {', '.join(others)}, which set no {resource}: let the injector set it, or keep it out"
            " with the injector's annotation (platform: trainer.podAnnotations)."
        )
    why = "a ResourceQuota of the namespace counts it. A default in a LimitRange of the namespace helps as well"
    return _change("Set", resource, stage, why)


def _never(requested: str, limited: str) -> Iterator[tuple[str, str]]:
    """Find the resources of which one pod asks for more than the whole quota, each with the quota."""
    bounds = dict(item.split("=", 1) for item in limited.split(",") if "=" in item)
    for item in requested.split(","):
        resource, _, amount = item.partition("=")
        wanted, bound = parse_quantity(amount), parse_quantity(bounds.get(resource, ""))
        if wanted is not None and bound is not None and wanted > bound:
            yield resource, bounds[resource]


def _change(what: str, resource: str, stage: str, why: str) -> str:
    """Advise what to do to a resource of our container, and who does it."""
    resource = resource if "." in resource else f"requests.{resource}"
    field = _FIELDS["train" if stage == names.STAGE_TRAIN else "prepare"].get(resource)
    if field is None and stage == names.STAGE_TRAIN and "/" in resource:
        field = "compute.gpus"
    if field is None:
        return f"Ask the platform team about {resource}: {why}."
    if field.startswith("trainer."):
        return f"Ask the platform team to {what.lower()} {field} of the chart: {why}."
    text = f"{what} spec.{field} of the run"
    if what == "Set" and resource == "limits.cpu":
        text += ", or ask the platform team for trainer.cpuLimit of the chart"
    return f"{text}: {why}."
