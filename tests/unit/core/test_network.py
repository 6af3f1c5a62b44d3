"""The NetworkPolicies of run pods: made before the first pod, and never in the way of a run that goes on."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from pydantic import ValidationError

from lora_contract import names
from lora_operator.core.manifests.network_policy import runs_policy
from lora_operator.core.observe.resource import CreateError
from lora_operator.core.run.decision import CreateGroupPolicy, CreateJob, CreateService, IsolatePods
from support.pod_reports import PREPARED, TRAINED
from support.run_story import Story, given_finetune, given_training
from support.story import settings


def given_a_namespace_without_policy(changes: dict[str, Any] | None = None, **platform: Any) -> Story:
    story = given_finetune(changes, **platform)
    story.isolated = False
    return story


def kinds(story: Story) -> list[type]:
    return [type(action) for decision in story.decisions for action in decision.actions]


def addresses(policy: dict[str, Any]) -> dict[str, list[str]]:
    (rule,) = policy["spec"]["egress"]
    return {peer["ipBlock"]["cidr"]: peer["ipBlock"].get("except", []) for peer in rule["to"] if "ipBlock" in peer}


def test_the_policy_is_there_before_the_first_pod_and_is_made_once() -> None:
    story = given_a_namespace_without_policy().decides()
    assert kinds(story) == [IsolatePods, CreateJob]
    story.after(2).stage_succeeds("prepare", PREPARED).decides()
    assert kinds(story) == [IsolatePods, CreateJob, CreateJob]


def test_run_pods_accept_nothing_and_reach_everything_but_the_metadata_service() -> None:
    policy = runs_policy("team-a", settings())
    labels = given_training().job("prepare")["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy["spec"]
    assert addresses(policy) == {"0.0.0.0/0": ["169.254.169.254/32"], "::/0": ["fd00:ec2::254/128"]}
    # EKS Pod Identity and the cache of a node for DNS are near the metadata service, and not it
    for needed in ("169.254.170.23", "169.254.20.10"):
        refused = [ipaddress.ip_network(block) for block in addresses(policy)["0.0.0.0/0"]]
        assert not any(ipaddress.ip_address(needed) in block for block in refused)
    # The pods of the cluster are named, for plugins whose address blocks do not mean them
    assert {"namespaceSelector": {}} in policy["spec"]["egress"][0]["to"]


def test_a_platform_that_lends_its_nodes_identity_leaves_the_metadata_service_open() -> None:
    policy = runs_policy("team-a", settings(allow_node_identity=True))
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert "egress" not in policy["spec"]


def test_the_platform_names_its_own_metadata_addresses() -> None:
    policy = runs_policy("team-a", settings(metadata_addresses="100.100.100.200/32"))
    assert addresses(policy) == {"0.0.0.0/0": ["100.100.100.200/32"], "::/0": []}


def test_a_platform_that_lists_what_may_be_reached_allows_nothing_else() -> None:
    storage = {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "storage"}}}]}
    names_only = {"ports": [{"port": 53, "protocol": "UDP"}]}
    # Also where pods may use the identity of their node: an address of the metadata service has to be in the list
    for lends in (False, True):
        policy = runs_policy("team-a", settings(run_egress=[storage, names_only], allow_node_identity=lends))
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert policy["spec"]["egress"] == [storage, names_only]


#: A wrong part of a rule, and what the refusal says of it. A selector without fields that are known selects all pods.
WRONG_RULES: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt field": ({"to": [{"podSelector": {"matchlabels": {"app": "s3"}}}]}, "matchlabels"),
    "a label without value": ({"to": [{"podSelector": {"matchLabels": {"app": None}}}]}, "valid string"),
    "a wrong label": ({"to": [{"podSelector": {"matchLabels": {"a b": "c"}}}]}, "should match pattern"),
    "an unknown operator": ({"to": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}]}, "'In'"),
    "in nothing": ({"to": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}]}, "needs values"),
    "no addresses": ({"to": [{"ipBlock": {"cidr": "storage"}}]}, "should match pattern"),
    "wrong addresses": ({"to": [{"ipBlock": {"cidr": "10.0.0.300/8"}}]}, "no address block such as 10.0.0.0/8"),
    "an exception outside": ({"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}, "not within"),
    "two kinds": ({"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}, "set either ipBlock, or"),
    "nobody": ({"to": [{}]}, "set either ipBlock, or"),
    "a number as text": ({"ports": [{"port": "443"}]}, "should match pattern"),
    "port true": ({"ports": [{"port": True}]}, "valid integer"),
    "port 70000": ({"ports": [{"port": 70000}]}, "less than or equal to 65535"),
    "a range backwards": ({"ports": [{"port": 443, "endPort": 80}]}, "not above it"),
    "another protocol": ({"ports": [{"port": 443, "protocol": "tcp"}]}, "'TCP', 'UDP' or 'SCTP'"),
}


@pytest.mark.parametrize("case", WRONG_RULES)
def test_a_rule_that_the_api_server_would_refuse_or_take_for_another_is_refused_at_the_start(case: str) -> None:
    rule, message = WRONG_RULES[case]
    with pytest.raises(ValidationError, match=message):
        settings(run_egress=[rule])


def test_rules_are_written_as_the_api_server_stores_them_so_that_they_are_made_once() -> None:
    everything = {"podSelector": {"matchLabels": {}, "matchExpressions": []}, "namespaceSelector": {}}
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": []}}
    rules = [
        {"to": [everything, block], "ports": [{"port": "https"}, {"port": 1, "endPort": 9}]},
        {"to": [], "ports": []},
    ]

    assert runs_policy("team-a", settings(run_egress=rules))["spec"]["egress"] == [
        {
            "to": [{"podSelector": {}, "namespaceSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}],
            "ports": [{"port": "https", "protocol": "TCP"}, {"port": 1, "endPort": 9, "protocol": "TCP"}],
        },
        {},
    ]


def test_a_policy_that_was_deleted_is_made_again_while_pods_run() -> None:
    story = given_training()
    before = story.status
    story.isolated = False
    story.decides()
    assert kinds(story)[-1] is IsolatePods
    assert story.status == before


def test_a_finished_run_needs_none_but_the_check_of_its_inputs_does() -> None:
    # A finished run in a namespace whose policy was deleted
    story = given_training().stage_succeeds("train", TRAINED).decides()
    story.isolated = False
    made = len(story.decisions)
    assert not any(isinstance(action, IsolatePods) for d in story.decides().decisions[made:] for action in d.actions)
    # When its inputs are to be checked, the policy comes before the Job
    story.user_sets({"checkToken": "1"}).decides()
    assert kinds(story)[-2:] == [IsolatePods, CreateJob]


def test_no_pod_starts_where_the_policy_is_refused_and_the_run_says_so() -> None:
    story = given_a_namespace_without_policy()
    story.create_error = CreateError(names.RUNS_POLICY, 403, "networkpolicies is forbidden", story.monotonic)
    # When it was refused a moment ago, nothing is created and the reason is told
    story.decides()
    assert kinds(story) == []
    assert story.condition("Reconciling") == ("True", "AdmissionDenied")
    assert story.message == "The NetworkPolicy of the namespace was refused: networkpolicies is forbidden"
    # Then it is tried again
    story.after(20).decides()
    assert kinds(story) == [IsolatePods, CreateJob]


def test_a_running_run_goes_on_where_the_policy_is_refused() -> None:
    # A run that trains since before an upgrade, and an operator that may not make the policy
    story = given_training()
    story.isolated = False
    story.create_error = CreateError(names.RUNS_POLICY, 403, "networkpolicies is forbidden", story.monotonic)
    # When it ends, its result is taken
    story.stage_succeeds("train", TRAINED).decides()
    assert story.condition("Complete") == ("True", "AdapterPublished")


@pytest.mark.parametrize("nodes", [1, 2])
def test_no_policy_is_made_where_they_are_switched_off(nodes: int) -> None:
    story = given_a_namespace_without_policy({"compute.nodes": nodes}, network_policies=False).decides()
    story.after(2).stage_succeeds("prepare", PREPARED).decides().decides()
    assert not {IsolatePods, CreateGroupPolicy} & set(kinds(story))


def test_pods_of_one_job_reach_each_other_where_the_platform_lists_what_may_be_reached() -> None:
    storage = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    story = given_finetune({"compute.nodes": 2, "compute.gpus": 1}, run_egress=[storage]).decides().after(2)
    story.stage_succeeds("prepare", PREPARED).decides().decides()
    (policy,) = (a.manifest for d in story.decisions for a in d.actions if isinstance(a, CreateGroupPolicy))
    uid = story.job("train")["metadata"]["uid"]
    pods = {"podSelector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}}
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["egress"] == [{"to": [pods]}]


def test_pods_of_one_job_on_several_nodes_reach_each_other_and_nobody_else_reaches_them() -> None:
    story = given_finetune({"compute.nodes": 2, "compute.gpus": 1}).decides().after(2)
    story.stage_succeeds("prepare", PREPARED).decides().decides()
    job = story.job("train")["metadata"]
    # the Service comes last: that it is there says that both are
    assert kinds(story)[-2:] == [CreateGroupPolicy, CreateService]
    (policy,) = (a.manifest for d in story.decisions for a in d.actions if isinstance(a, CreateGroupPolicy))
    pods = {"podSelector": {"matchLabels": {"batch.kubernetes.io/controller-uid": job["uid"]}}}
    assert policy["spec"] == {**pods, "policyTypes": ["Ingress"], "ingress": [{"from": [pods]}]}
    assert policy["metadata"]["namespace"] == "team-a"
    (owner,) = policy["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Job", job["uid"])
