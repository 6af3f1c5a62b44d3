"""The chart on a real API server: it installs, upgrades, goes, and grants what the operator needs and no more."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubernetes import client

from lora_cluster.control_plane import ControlPlane
from lora_cluster.kubectl import Kubectl
from support import api_server, chart
from support.chart import CHART, PRODUCTION, documents, of_kind, only, template

Helm = Callable[..., subprocess.CompletedProcess[str]]

#: Everything that the operator does in the namespace of a run: verbs, API group, resource.
ALLOWED = (
    ("list watch create patch", "lora-operator.dev", "lorafinetunes"),
    ("patch", "lora-operator.dev", "lorafinetunes/status"),
    ("list watch", "lora-operator.dev", "lorasweeps"),
    ("patch", "lora-operator.dev", "lorasweeps/status"),
    ("update", "lora-operator.dev", "lorafinetunes/finalizers"),
    ("get list watch create patch delete", "batch", "jobs"),
    ("list watch", "", "pods"),
    ("get create", "", "services"),
    ("get list create", "networking.k8s.io", "networkpolicies"),
    ("list", "", "events"),
    ("create", "events.k8s.io", "events"),
    ("list watch patch", "kueue.x-k8s.io", "workloads"),
    ("create", "authentication.k8s.io", "tokenreviews"),
)
FORBIDDEN = (
    ("get list watch create update patch delete", "", "secrets"),
    ("create update patch delete", "", "pods"),
    ("list watch update patch delete", "", "services"),
    ("watch update patch delete", "networking.k8s.io", "networkpolicies"),
    ("create", "", "pods/exec"),
    ("get", "", "pods/log"),
    ("create", "", "serviceaccounts/token"),
    ("update delete", "lora-operator.dev", "lorafinetunes"),
    ("create update patch delete", "lora-operator.dev", "lorasweeps"),
    ("get watch update patch", "", "nodes"),
    ("list watch", "", "namespaces"),
    ("list watch create update", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("get list", "", "configmaps"),
    ("create", "rbac.authorization.k8s.io", "rolebindings"),
    ("get update", "coordination.k8s.io", "leases"),
    ("get create update delete", "kueue.x-k8s.io", "workloads"),
)


def each_verb(rights: tuple[tuple[str, str, str], ...]) -> list[tuple[str, str, str]]:
    return [(verb, group, resource) for verbs, group, resource in rights for verb in verbs.split()]


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane, api: client.ApiClient) -> Iterator[tuple[str, Helm]]:
    """A release in a namespace that enforces Pod Security `restricted`; the test's CRD is already there."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = api_server.make_namespace(api, **labels)

    def helm(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return chart.helm(*words, f"--kubeconfig={control_plane.kubeconfig}", f"--namespace={namespace}", check=False)

    done = helm("install", "lora-operator", CHART, "--set=crds.enabled=false", f"--values={PRODUCTION}")
    assert done.returncode == 0, done.stderr
    yield namespace, helm
    helm("uninstall", "lora-operator")


def test_every_object_is_valid_to_the_last_field(kubectl: Kubectl, namespace: str) -> None:
    without_cluster_kinds = ["--set=crds.enabled=false", f"--values={PRODUCTION}", f"--namespace={namespace}"]
    text = template(*without_cluster_kinds)
    kubectl.run("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=text)


def test_the_pods_are_admitted_where_restricted_is_enforced(api: client.ApiClient, installed: tuple[str, Helm]) -> None:
    namespace, _ = installed
    deployment = only(documents(template(f"--values={PRODUCTION}")), "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    pod = {"metadata": {"name": "try"}, "spec": spec}
    client.CoreV1Api(api).create_namespaced_pod(namespace, pod, dry_run="All", field_validation="Strict")


def may(api: client.ApiClient, release_namespace: str, verb: str, group: str, resource: str) -> bool:
    """Whether the operator may do something in the namespace of a team; the API server's authoriser answers."""
    kind, _, subresource = resource.partition("/")
    attributes = {"namespace": "team-x", "verb": verb, "group": group, "resource": kind, "subresource": subresource}
    user = f"system:serviceaccount:{release_namespace}:lora-operator"
    review = {"spec": {"user": user, "resourceAttributes": attributes}}
    return bool(client.AuthorizationV1Api(api).create_subject_access_review(review).status.allowed)


@pytest.mark.parametrize(("verb", "group", "resource"), each_verb(ALLOWED), ids=str)
def test_the_operator_may(
    api: client.ApiClient, installed: tuple[str, Helm], verb: str, group: str, resource: str
) -> None:
    assert may(api, installed[0], verb, group, resource)


@pytest.mark.parametrize(("verb", "group", "resource"), each_verb(FORBIDDEN), ids=str)
def test_the_operator_may_not(
    api: client.ApiClient, installed: tuple[str, Helm], verb: str, group: str, resource: str
) -> None:
    assert not may(api, installed[0], verb, group, resource)


def certificate(api: client.ApiClient, namespace: str) -> dict[str, str]:
    data: dict[str, str] = client.CoreV1Api(api).read_namespaced_secret("lora-operator-tls", namespace).data
    return data


def test_the_certificate_survives_an_upgrade(api: client.ApiClient, installed: tuple[str, Helm]) -> None:
    namespace, helm = installed
    before = certificate(api, namespace)
    done = helm("upgrade", "lora-operator", CHART, "--reuse-values", "--set=log.level=DEBUG")
    assert done.returncode == 0, done.stderr
    assert certificate(api, namespace) == before


def test_a_lost_certificate_is_made_anew(api: client.ApiClient, installed: tuple[str, Helm]) -> None:
    namespace, helm = installed
    before = certificate(api, namespace)
    client.CoreV1Api(api).delete_namespaced_secret("lora-operator-tls", namespace)
    helm("upgrade", "lora-operator", CHART, "--reuse-values")
    assert certificate(api, namespace) != before


def test_users_get_their_rights_by_the_roles_of_the_cluster(kubectl: Kubectl, installed: tuple[str, Helm]) -> None:
    kubectl.run("create", "rolebinding", "viewer", "--clusterrole=view", "--user=ann", f"--namespace={installed[0]}")
    kubectl.run("create", "rolebinding", "editor", "--clusterrole=edit", "--user=bob", f"--namespace={installed[0]}")

    def can(user: str, verb: str, *more: str) -> bool:
        where = f"--namespace={installed[0]}"
        return kubectl.succeeds("auth", "can-i", verb, "lorafinetunes.lora-operator.dev", f"--as={user}", where, *more)

    api_server.eventually("the roles are aggregated", lambda: can("ann", "get") and can("bob", "create"))
    assert not can("ann", "create")
    assert not can("bob", "patch", "--subresource=status")


def test_the_definitions_are_valid_and_outlive_the_release(kubectl: Kubectl) -> None:
    text = template("--show-only=templates/crds.yaml")
    for definition in of_kind(documents(text), "CustomResourceDefinition"):
        assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    words = ["--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"]
    kubectl.run("apply", *words, "--filename=-", stdin=text)
