"""The NetworkPolicies of run pods on a real API server, made with the rights that the chart gives."""

from __future__ import annotations

import json
from typing import Any

from kubernetes import client

from lora_contract import names
from support.api_server import eventually
from support.operator import StartOperator
from support.pods import prepared
from support.runs import Runs

#: Of a run on several nodes.
JOB_UID_LABEL = "batch.kubernetes.io/controller-uid"


def policies(runs: Runs) -> dict[str, client.V1NetworkPolicy]:
    found = client.NetworkingV1Api(runs.api).list_namespaced_network_policy(runs.namespace)
    return {policy.metadata.name: policy for policy in found.items}


def excepted(policy: client.V1NetworkPolicy) -> set[str]:
    return {block for peer in policy.spec.egress[0].to if peer.ip_block for block in peer.ip_block._except or ()}


def written(policy: client.V1NetworkPolicy) -> tuple[Any, Any]:
    """What tells a policy that was written again from one that was left alone."""
    return policy.metadata.uid, policy.metadata.generation


def test_the_policy_is_made_once_a_namespace_and_put_back_when_it_is_lost_or_changed(
    runs: Runs, start_operator: StartOperator
) -> None:
    networking = client.NetworkingV1Api(runs.api)
    start_operator(RESYNC_SECONDS="1")
    # When the first run of the namespace starts, its policy is there with its Job
    runs.apply("first")
    eventually("a prepare pod", lambda: bool(runs.pods.all("first", names.STAGE_PREPARE)))
    made = policies(runs)[names.RUNS_POLICY]
    assert excepted(made) == {"169.254.169.254/32", "fd00:ec2::254/128"}
    (pod,) = runs.pods.all("first", names.STAGE_PREPARE)
    assert made.spec.pod_selector.match_labels.items() <= pod.metadata.labels.items()
    # The next run, or another look, does not write it again
    runs.apply("second")
    eventually("another prepare pod", lambda: bool(runs.pods.all("second", names.STAGE_PREPARE)))
    assert written(policies(runs)[names.RUNS_POLICY]) == written(made)
    # When somebody deletes it, it is made again
    networking.delete_namespaced_network_policy(names.RUNS_POLICY, runs.namespace)
    eventually("the policy is back", lambda: names.RUNS_POLICY in policies(runs))
    # When somebody opens it, it is closed again
    opened = {"spec": {"ingress": [{}]}}
    networking.patch_namespaced_network_policy(names.RUNS_POLICY, runs.namespace, opened)
    eventually("the policy is closed", lambda: not policies(runs)[names.RUNS_POLICY].spec.ingress)


def test_a_changed_setting_reaches_the_policy_and_a_restart_alone_writes_nothing(
    runs: Runs, start_operator: StartOperator
) -> None:
    first = start_operator()
    runs.apply("triage")
    eventually("the policy", lambda: names.RUNS_POLICY in policies(runs))
    made = policies(runs)[names.RUNS_POLICY]
    first.stop()
    # When the operator is started again, the policy is left alone
    second = start_operator()
    runs.apply("another")
    eventually("a prepare pod", lambda: bool(runs.pods.all("another", names.STAGE_PREPARE)))
    assert written(policies(runs)[names.RUNS_POLICY]) == written(made)
    second.stop()
    # When the platform lends the identity of its nodes, the policy follows
    start_operator(ALLOW_NODE_IDENTITY="true")
    eventually("the policy follows", lambda: policies(runs)[names.RUNS_POLICY].spec.egress is None)


def test_a_list_of_what_may_be_reached_is_written_once(runs: Runs, start_operator: StartOperator) -> None:
    storage = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]}
    start_operator(RESYNC_SECONDS="1", RUN_EGRESS=json.dumps([storage]))
    runs.apply("first")
    eventually("a prepare pod", lambda: bool(runs.pods.all("first", names.STAGE_PREPARE)))
    made = policies(runs)[names.RUNS_POLICY]
    (rule,) = made.spec.egress
    assert (rule.to[0].ip_block.cidr, rule.ports[0].port, rule.ports[0].protocol) == ("10.0.0.0/8", 443, "TCP")
    # Another run, after full lists, finds it as it is to be
    runs.apply("second")
    eventually("another prepare pod", lambda: bool(runs.pods.all("second", names.STAGE_PREPARE)))
    assert written(policies(runs)[names.RUNS_POLICY]) == written(made)


def test_pods_of_one_job_may_reach_each_other(runs: Runs, start_operator: StartOperator) -> None:
    start_operator()
    runs.apply("triage", compute__nodes=2)
    runs.pods.run("triage", names.STAGE_PREPARE, prepared())
    eventually("two train pods", lambda: len(runs.pods.all("triage", names.STAGE_TRAIN)) == 2)
    eventually("both policies", lambda: len(policies(runs)) == 2)
    (job,) = (job for job in runs.jobs("triage") if job.metadata.labels[names.LABEL_STAGE] == names.STAGE_TRAIN)
    policy = policies(runs)[names.service_name(job.metadata.name)]
    # the Job controller put the label by which the policy knows them on every pod
    pods = runs.pods.all("triage", names.STAGE_TRAIN)
    assert {pod.metadata.labels[JOB_UID_LABEL] for pod in pods} == {job.metadata.uid}
    assert policy.spec.pod_selector.match_labels == {JOB_UID_LABEL: job.metadata.uid}
    (peer,) = policy.spec.ingress[0]._from
    assert peer.pod_selector.match_labels == {JOB_UID_LABEL: job.metadata.uid}
    assert peer.namespace_selector is None
    assert [owner.uid for owner in policy.metadata.owner_references] == [job.metadata.uid]
