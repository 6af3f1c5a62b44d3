"""What the chart renders is safe in every profile, and agrees with operator and contract."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from lora_contract import names
from lora_contract.crd import custom_resource_definition
from lora_contract.crd.resources import RESOURCES
from lora_contract.version import __version__
from lora_operator.run_pods import Variable
from lora_operator.settings import Settings
from support.chart import CHART, NAMESPACE, PROFILES, Document, documents, of_kind, only, template

RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
CLUSTER_KINDS = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
#: Settings that the chart leaves alone: ports are those of its own manifests, the others are for tests and tuning.
NOT_IN_THE_CHART = {"progress_ca", "progress_host", "progress_port", "health_port", "workers", "resync_seconds"}


@functools.cache
def rendered(profile: str) -> tuple[Document, ...]:
    return tuple(documents(template(*PROFILES[profile])))


def objects(profile: str) -> list[Document]:
    return list(rendered(profile))


def pod_specs(profile: str) -> Iterator[dict[str, Any]]:
    yield only(objects(profile), "Deployment")["spec"]["template"]["spec"]
    yield only(objects(profile), "Pod")["spec"]


def environment(profile: str) -> dict[str, str]:
    container = only(objects(profile), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


def role_suffix(role: Document) -> str:
    """What follows the name of the release: nothing for the operator's own role."""
    name: str = role["metadata"]["name"]
    return name.removeprefix("lora-operator")


@pytest.mark.parametrize("profile", PROFILES)
def test_no_role_has_a_wildcard_or_touches_secrets(profile: str) -> None:
    for role in of_kind(objects(profile), "ClusterRole") + of_kind(objects(profile), "Role"):
        assert len(role["rules"]) <= 15
        for rule in role["rules"]:
            words = rule["apiGroups"] + rule["resources"] + rule["verbs"]
            assert not [word for word in words if "*" in word]
            forbidden = {"secrets", "pods/exec", "pods/log", "serviceaccounts/token", "namespaces"}
            assert not forbidden & set(rule["resources"])
            assert not {"impersonate", "bind", "escalate"} & set(rule["verbs"])
            assert "deletecollection" not in rule["verbs"] or role_suffix(role) == "-edit"


@pytest.mark.parametrize("profile", PROFILES)
def test_every_pod_is_restricted(profile: str) -> None:
    """The controls of https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    for pod in pod_specs(profile):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["securityContext"].get("runAsUser", 1) > 0
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert all(set(volume) - {"name"} <= RESTRICTED_VOLUMES for volume in pod.get("volumes", []))
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_object_is_labelled_and_in_the_namespace_of_the_release(profile: str) -> None:
    for document in objects(profile):
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "lora-operator"
        if document["kind"] not in CLUSTER_KINDS:
            namespaces = {NAMESPACE, "team-a", "team-b"} if profile == "namespaced" else {NAMESPACE}
            assert document["metadata"]["namespace"] in namespaces


def test_chart_and_code_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


@pytest.mark.parametrize("profile", PROFILES)
def test_the_operator_understands_every_variable_of_the_chart(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {name: value for name, value in environment(profile).items() if name.startswith("LORA_OPERATOR_")}
    assert {name.removeprefix("LORA_OPERATOR_").lower() for name in variables} <= set(Settings.model_fields)
    for name, value in variables.items():
        if name != "LORA_OPERATOR_PROGRESS_CA_FILE":  # the file exists in the pod only
            monkeypatch.setenv(name, value)
    assert Settings()  # type: ignore[call-arg]


def test_every_setting_can_be_set_by_a_value() -> None:
    set_by_the_chart = set(environment("production")) | set(environment("everything set"))
    fields = {f"LORA_OPERATOR_{name.upper()}" for name in set(Settings.model_fields) - NOT_IN_THE_CHART}
    assert fields <= set_by_the_chart


def test_lists_and_maps_reach_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment("everything set").items():
        if name != "LORA_OPERATOR_PROGRESS_CA_FILE":
            monkeypatch.setenv(name, value)
    settings = Settings()  # type: ignore[call-arg]
    assert settings.image_pull_secrets == ("pull", "other")
    assert settings.allowed_s3_endpoints == ("https://s3.example.org", "http://minio:9000")
    assert settings.allow_node_identity is True
    assert (settings.prepare_cpu, settings.prepare_cpu_limit, settings.train_cpu_limit) == ("1", "2.5", "16")
    assert (settings.train_scratch, settings.train_ephemeral_storage) == (200 << 30, 50 << 30)
    assert settings.metadata_addresses == ("100.100.100.200/32",)
    assert [rule.dump() for rule in settings.run_egress] == [
        {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443, "protocol": "TCP"}]},
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
        {"to": [_operator_pods()], "ports": [{"port": 8443, "protocol": "TCP"}]},
    ]
    assert settings.pod_annotations == {"sidecar.istio.io/inject": "false"}
    assert settings.prepare_image == f"lora-prepare:{__version__}"
    assert settings.pod_labels == {"sidecar.istio.io/inject": "false"}
    assert settings.extra_env == (Variable(name="HTTPS_PROXY", value="http://proxy:3128"),)
    assert settings.ca_bundle.config_map == "corporate-ca"
    assert settings.train_pod_spec.dump() == {"runtimeClassName": "nvidia", "tolerations": [{"key": "pool"}]}
    assert settings.prepare_pod_spec.dump() == {"priorityClassName": "batch"}


def _operator_pods() -> dict[str, Any]:
    """The operator's pods, as a NetworkPolicy in another namespace names them."""
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}
    labels = only(objects("everything set"), "Deployment")["spec"]["selector"]["matchLabels"]
    return {"namespaceSelector": namespace, "podSelector": {"matchLabels": labels}}


def test_ports_are_those_on_which_the_operator_listens() -> None:
    container = only(objects("default"), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    defaults = {name: Settings.model_fields[f"{name}_port"].default for name in ("health", "progress")}
    assert ports == {"http": defaults["health"], "progress": defaults["progress"]}


def test_the_definitions_are_those_of_the_contract() -> None:
    definitions = of_kind(objects("default"), "CustomResourceDefinition")
    assert [definition["spec"] for definition in definitions] == [
        custom_resource_definition(resource)["spec"] for resource in RESOURCES
    ]
    for definition in definitions:
        assert definition["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_definitions_go_with_the_release_where_asked() -> None:
    definitions = of_kind(documents(template("--set=crds.keep=false")), "CustomResourceDefinition")
    assert len(definitions) == len(RESOURCES)
    assert not any("annotations" in definition["metadata"] for definition in definitions)


def test_the_definitions_can_be_left_out() -> None:
    assert not of_kind(objects("without kueue and definition"), "CustomResourceDefinition")


def test_in_namespaces_the_operator_has_no_right_elsewhere_but_to_review_tokens() -> None:
    roles = [role for role in of_kind(objects("namespaced"), "Role") if "leader" not in role["metadata"]["name"]]
    assert {role["metadata"]["namespace"] for role in roles} == {"team-a", "team-b"}
    (cluster,) = [role for role in of_kind(objects("namespaced"), "ClusterRole") if not role_suffix(role)]
    assert [rule["resources"] for rule in cluster["rules"]] == [["tokenreviews"]]


@pytest.mark.parametrize(("profile", "reads"), [("default", True), ("namespaced", False), ("everything set", False)])
def test_nodes_are_listed_only_where_their_labels_count(profile: str, reads: bool) -> None:
    roles = of_kind(objects(profile), "ClusterRole") + of_kind(objects(profile), "Role")
    rights = [rule["verbs"] for role in roles for rule in role["rules"] if "nodes" in rule["resources"]]
    assert rights == ([["list"]] if reads else [])
    assert environment(profile)["LORA_OPERATOR_READ_GPU_NODES"] == str(reads).lower()


def ingress(profile: str) -> dict[str, list[Document]]:
    """Who may reach each port of the operator."""
    rules = only(objects(profile), "NetworkPolicy")["spec"]["ingress"]
    return {rule["ports"][0]["port"]: rule["from"] for rule in rules}


@pytest.mark.parametrize("profile", ["default", "production"])
def test_metrics_are_closed_to_tenants_and_the_progress_port_to_all_but_run_pods(profile: str) -> None:
    policy = only(objects(profile), "NetworkPolicy")["spec"]
    labels = only(objects(profile), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    # only the pod of `helm test` in the release's namespace; probes come from the node, which is never shut out
    (tester,) = ingress(profile)["http"]
    assert set(tester) == {"podSelector"}
    assert tester["podSelector"]["matchLabels"].items() <= only(objects(profile), "Pod")["metadata"]["labels"].items()
    (run_pods,) = ingress(profile)["progress"]
    ours = {names.LABEL_MANAGED_BY: names.MANAGED_BY}
    assert run_pods == {"namespaceSelector": {}, "podSelector": {"matchLabels": ours}}


def test_monitoring_may_read_the_metrics_where_it_is_named() -> None:
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert ingress("monitored")["http"][1:] == [monitoring]


def test_without_network_policies_there_is_none_and_no_right_to_make_one() -> None:
    profile = "without network policies"
    assert not of_kind(objects(profile), "NetworkPolicy")
    assert environment(profile)["LORA_OPERATOR_NETWORK_POLICIES"] == "false"
    roles = of_kind(objects(profile), "ClusterRole")
    assert not any("networkpolicies" in rule["resources"] for role in roles for rule in role["rules"])


def test_the_operator_replaces_no_network_policy_but_its_own() -> None:
    (cluster,) = [role for role in of_kind(objects("default"), "ClusterRole") if not role_suffix(role)]
    rules = [rule for rule in cluster["rules"] if "networkpolicies" in rule["resources"] and "update" in rule["verbs"]]
    assert [rule["resourceNames"] for rule in rules] == [[names.RUNS_POLICY]]


def test_references_are_checked_unless_switched_off_and_not_for_the_operator() -> None:
    policy = only(objects("default"), "ValidatingAdmissionPolicy")
    binding = only(objects("default"), "ValidatingAdmissionPolicyBinding")["spec"]
    assert binding == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    account = only(objects("default"), "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    assert f"'system:serviceaccount:{NAMESPACE}:{account}'" in policy["spec"]["matchConditions"][0]["expression"]
    namespaced = only(objects("namespaced"), "ValidatingAdmissionPolicyBinding")["spec"]["matchResources"]
    assert namespaced["namespaceSelector"]["matchExpressions"][0]["values"] == ["team-a", "team-b"]
    assert not of_kind(documents(template("--set=admissionPolicy.enabled=false")), "ValidatingAdmissionPolicy")


def test_editors_cannot_write_the_status() -> None:
    roles = [role for role in of_kind(objects("default"), "ClusterRole") if role["metadata"]["name"].endswith("-edit")]
    assert [rule["resources"] for role in roles for rule in role["rules"]] == [["lorafinetunes", "lorasweeps"]]


def test_one_replica_never_overlaps_with_its_successor() -> None:
    assert only(objects("default"), "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_two_replicas_elect_a_leader() -> None:
    deployment = only(objects("production"), "Deployment")["spec"]
    assert deployment["replicas"] == 2
    assert environment("production")["LORA_OPERATOR_LEASE_NAMESPACE"] == NAMESPACE
    (role,) = of_kind(objects("production"), "Role")
    assert role["rules"][0]["resourceNames"] == [environment("production")["LORA_OPERATOR_LEASE_NAME"]]
    assert only(objects("production"), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_the_certificate_is_valid_for_the_address_that_pods_use() -> None:
    secret = {key: base64.b64decode(value) for key, value in only(objects("default"), "Secret")["data"].items()}
    host = environment("default")["LORA_OPERATOR_PROGRESS_URL"].removeprefix("https://").removesuffix(":8443")
    authority, certificate = (x509.load_pem_x509_certificate(secret[key]) for key in ("ca.crt", "tls.crt"))
    verifier = PolicyBuilder().store(Store([authority])).build_server_verifier(x509.DNSName(host))
    assert verifier.verify(certificate, [])


@pytest.mark.parametrize("profile", ["own certificate", "cert-manager"])
def test_a_certificate_from_elsewhere_is_mounted(profile: str) -> None:
    assert not of_kind(objects(profile), "Secret")
    volumes = only(objects(profile), "Deployment")["spec"]["template"]["spec"]["volumes"]
    (tls,) = [volume for volume in volumes if volume["name"] == "tls"]
    expected = "mine" if profile == "own certificate" else only(objects(profile), "Certificate")["spec"]["secretName"]
    assert tls["secret"]["secretName"] == expected


def test_the_schema_of_values_is_json(tmp_path: Path) -> None:
    assert json.loads((CHART / "values.schema.json").read_text())["additionalProperties"] is False
