"""A user with rights on LoRAFineTunes alone names Secrets and accounts of the namespace that are not theirs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client

from lora_cluster.control_plane import ControlPlane
from lora_cluster.kubectl import Kubectl
from lora_contract import names
from support import chart
from support.api_server import FineTunes, connect, eventually
from support.specs import changed
from support.sweeps import Sweeps

#: Each field that names an object of the namespace, with the resource that it names.
REFERENCES = {
    "storage.secretName": ("secrets", "theirs"),
    "storage.serviceAccountName": ("serviceaccounts", "theirs"),
    "model.tokenSecretName": ("secrets", "theirs"),
    "model.cache": ("persistentvolumeclaims", {"claimName": "theirs"}),
    "dataset": ("persistentvolumeclaims", {"sources": [{"name": "a", "uri": "pvc://theirs/rows.jsonl"}]}),
}
RUNS_ALONE = {"apiGroups": [names.GROUP], "resources": [names.PLURAL, names.SWEEP_PLURAL], "verbs": ["*"]}

As = Callable[..., client.ApiClient]


@pytest.fixture
def policy(kubectl: Kubectl, namespace: str) -> Iterator[None]:
    """The chart's policy, for the test's namespace: other tests share the API server."""
    text = chart.template("--show-only=templates/admissionpolicy.yaml", f"--set=watchNamespaces={{{namespace}}}")
    kubectl.apply_text(text)
    yield
    kubectl.run("delete", "--filename=-", stdin=text)


@pytest.fixture
def somebody(api: client.ApiClient, control_plane: ControlPlane, namespace: str, policy: None) -> As:
    """Makes a user who has these rights in the namespace; a client of theirs, once the policy works."""

    def make(*rules: dict[str, Any]) -> client.ApiClient:
        user, rbac = f"user-{uuid.uuid4().hex[:8]}", client.RbacAuthorizationV1Api(api)
        rbac.create_namespaced_role(namespace, {"metadata": {"name": user}, "rules": list(rules)})
        rbac.create_namespaced_role_binding(
            namespace,
            {
                "metadata": {"name": user},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
                "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
            },
        )
        mine = connect(control_plane)
        mine.set_default_header("Impersonate-User", user)
        return mine

    nobody = FineTunes(make(RUNS_ALONE), namespace)
    eventually("the policy works", lambda: "theirs" in refusal(lambda: create(nobody, "storage.secretName")))
    return make


def create(finetunes: FineTunes, field: str, name: str = "triage") -> None:
    finetunes.create(name, changed({field: REFERENCES[field][1]}), dry_run=True)


def refusal(write: Callable[[], Any]) -> str:
    """The message with which a write was refused; empty: it was not."""
    try:
        write()
    except client.ApiException as error:
        return str(json.loads(error.body)["message"])
    return ""


@pytest.mark.parametrize("field", REFERENCES)
def test_rights_on_runs_alone_do_not_reach_what_the_namespace_holds(field: str, somebody: As, namespace: str) -> None:
    # A user who may create runs and sweeps, and nothing else
    mine = somebody(RUNS_ALONE)
    resource, _ = REFERENCES[field]
    # When they name an object of somebody else, they are refused, with the field and what to ask for
    message = refusal(lambda: create(FineTunes(mine, namespace), field))
    assert f"spec.{field}" in message
    assert f'Ask for the verb "use" on {resource}/theirs in namespace {namespace}' in message
    # So they are where a sweep names it in its template
    template = {"spec": changed({field: REFERENCES[field][1]})}
    sweep = {"template": template, "trials": [{"lora": {"r": 8}}]}
    assert f'"use" on {resource}/theirs' in refusal(lambda: Sweeps(mine, namespace).create("sweep", sweep))
    # but with the verb `use` on that object they may
    use = {"apiGroups": [""], "resources": [resource], "resourceNames": ["theirs"], "verbs": ["use"]}
    create(FineTunes(somebody(RUNS_ALONE, use), namespace), field)


def test_whoever_may_create_pods_may_name_what_pods_may_use(somebody: As, namespace: str) -> None:
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}
    for field in REFERENCES:
        create(FineTunes(somebody(RUNS_ALONE, pods), namespace), field)


def test_a_run_that_names_nothing_needs_no_more_rights(somebody: As, namespace: str) -> None:
    FineTunes(somebody(RUNS_ALONE), namespace).create("plain", changed({}))


def test_a_run_of_somebody_else_can_be_suspended_but_not_turned_to_other_data(
    api: client.ApiClient, somebody: As, namespace: str
) -> None:
    # A run of the administrator, with their Secret
    FineTunes(api, namespace).create("admins", changed({"storage.secretName": "theirs"}))
    mine = client.CustomObjectsApi(somebody(RUNS_ALONE))

    def patch(spec: dict[str, Any]) -> None:
        mine.patch_namespaced_custom_object(
            names.GROUP, names.VERSION, namespace, names.PLURAL, "admins", {"spec": spec}
        )

    # When a user without rights on the Secret suspends and resumes it, that is fine
    patch({"suspend": True})
    patch({"suspend": False})
    # but they cannot make the Secret read or write for them
    elsewhere = {"updatePolicy": "Rerun", "output": {"uri": "s3://attacker/"}}
    assert "spec.storage.secretName" in refusal(lambda: patch(elsewhere))


def test_the_operator_creates_the_trials_of_a_sweep_that_was_checked(
    control_plane: ControlPlane, api: client.ApiClient, policy: None, somebody: As, namespace: str
) -> None:
    # A sweep's trial, created by the operator's account, which may use no Secret itself
    rbac, account = client.RbacAuthorizationV1Api(api), f"system:serviceaccount:{chart.NAMESPACE}:lora-operator"
    rbac.create_namespaced_role(namespace, {"metadata": {"name": "operator"}, "rules": [RUNS_ALONE]})
    rbac.create_namespaced_role_binding(
        namespace,
        {
            "metadata": {"name": "operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": account}],
        },
    )
    operator = connect(control_plane)
    operator.set_default_header("Impersonate-User", account)
    # It is accepted
    create(FineTunes(operator, namespace), "storage.secretName", "sweep-00")
