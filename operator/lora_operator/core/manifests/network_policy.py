"""NetworkPolicies of run pods: what may reach them, and what they may reach.

One policy a namespace holds for all run pods: nothing may reach them, and they may reach what the platform allows, or
everything but the metadata service of the cloud, which hands out the identity of the node. Pods of one Job on several
nodes have another one beside it, which lets them reach each other: policies add up.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

from lora_contract import names
from lora_operator.core.manifests.job import owner_job
from lora_operator.core.observe.observed import Job
from lora_operator.core.run.decision import CreateJob, IsolatePods
from lora_operator.core.run.outcome import Outcome
from lora_operator.core.run.run import Run
from lora_operator.settings import Settings

_OURS = {names.LABEL_MANAGED_BY: names.MANAGED_BY}
#: Set by the Job controller on every pod of a Job.
_JOB_UID_LABEL = "batch.kubernetes.io/controller-uid"

Json = dict[str, Any]


def isolated(run: Run, outcome: Outcome) -> Outcome:
    """Make the policy of the namespace first where pods run or are about to; after a refusal wait a moment."""
    if not run.settings.network_policies or run.observed.isolated or run.refused_lately(names.RUNS_POLICY):
        return outcome
    creates = any(isinstance(action, CreateJob) for action in outcome.actions)
    if not creates and all(job.finished for job in run.observed.jobs):
        return outcome
    order = IsolatePods(runs_policy(run.finetune.namespace, run.settings))
    return replace(outcome, actions=(order, *outcome.actions))


def runs_policy(namespace: str, settings: Settings) -> Json:
    """Build the policy for all run pods of a namespace."""
    spec: Json = {"podSelector": {"matchLabels": _OURS}, "policyTypes": ["Ingress"]}
    if settings.run_egress:
        spec["policyTypes"] = ["Ingress", "Egress"]
        spec["egress"] = [rule.dump() for rule in settings.run_egress]
    elif not settings.allow_node_identity:
        # An address block may or may not include pods, by the network plugin; so they are named as well.
        everywhere = [_all_but(settings.metadata_addresses, "0.0.0.0/0"), _all_but(settings.metadata_addresses, "::/0")]
        spec["policyTypes"] = ["Ingress", "Egress"]
        spec["egress"] = [{"to": [*everywhere, {"namespaceSelector": {}}]}]
    return _policy({"name": names.RUNS_POLICY, "namespace": namespace, "labels": _OURS}, spec)


def group_policy(namespace: str, settings: Settings, job: Job) -> Json:
    """Build the policy that lets the pods of one Job reach each other; it goes with the Job."""
    same_job = {"podSelector": {"matchLabels": {_JOB_UID_LABEL: job.uid}}}
    metadata = {
        "name": names.service_name(job.name),
        "namespace": namespace,
        "labels": _OURS,
        "ownerReferences": [owner_job(job)],
    }
    spec = {**same_job, "policyTypes": ["Ingress"], "ingress": [{"from": [same_job]}]}
    if settings.run_egress:  # elsewhere the policy of all run pods lets them connect to each other
        spec |= {"policyTypes": ["Ingress", "Egress"], "egress": [{"to": [same_job]}]}
    return _policy(metadata, spec)


def _policy(metadata: Json, spec: Json) -> Json:
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def _all_but(addresses: tuple[str, ...], block: str) -> Json:
    """Match all addresses of the family of `block`, but for these."""
    version = ipaddress.ip_network(block).version
    excepted = [address for address in addresses if ipaddress.ip_network(address).version == version]
    return {"ipBlock": {"cidr": block} | ({"except": excepted} if excepted else {})}
