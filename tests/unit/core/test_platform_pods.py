"""What a platform adds to the pods of every run: where they run, proxies, its certificate authorities, labels."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lora_contract import names
from support.job_manifests import container, jobs, pod
from support.run_story import UNREACHABLE, given_training
from support.story import settings

POOL = {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["gpu"]}]}
GPU_POOL = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [POOL]}}}
SPREAD = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}


def variables(job: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container(job)["env"]}


def test_each_stage_has_the_fields_of_the_pods_spec_that_the_platform_gives_it() -> None:
    prepare, train = jobs(
        train_pod_spec={"runtimeClassName": "nvidia", "priorityClassName": "training", "affinity": GPU_POOL,
                        "topologySpreadConstraints": [SPREAD]},
        prepare_pod_spec={"priorityClassName": "batch", "nodeSelector": {"pool": "cpu"}},
    )  # fmt: skip

    assert pod(train)["runtimeClassName"] == "nvidia"
    assert pod(train)["priorityClassName"] == "training"
    assert pod(train)["affinity"] == GPU_POOL
    assert pod(train)["topologySpreadConstraints"] == [SPREAD]
    assert pod(prepare)["priorityClassName"] == "batch"
    assert pod(prepare)["nodeSelector"] == {"pool": "cpu"}
    assert not {"runtimeClassName", "affinity", "tolerations"} & set(pod(prepare))


def test_without_such_fields_the_pods_are_as_before() -> None:
    for job in jobs():
        fields = {"runtimeClassName", "priorityClassName", "nodeSelector", "affinity", "topologySpreadConstraints"}
        assert not fields & set(pod(job))


def test_a_run_adds_to_the_platforms_selector_and_has_the_last_word() -> None:
    run = {"compute.nodeSelector": {"accelerator": "h100"}, "compute.tolerations": [{"key": "gpu"}]}
    platform = {
        "nodeSelector": {"accelerator": "any", "pool": "gpu"},
        # two of one key, for a taint that keeps pods away and one that drives them out
        "tolerations": [
            {"key": "gpu", "value": "a"},
            {"key": "pool", "effect": "NoSchedule"},
            {"key": "pool", "effect": "NoExecute"},
        ],
    }
    _, train = jobs(run, train_pod_spec=platform)

    assert pod(train)["nodeSelector"] == {"accelerator": "h100", "pool": "gpu"}
    keys = [toleration["key"] for toleration in pod(train)["tolerations"]]
    assert keys == ["gpu", "pool", "pool", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
    assert "value" not in pod(train)["tolerations"][0]


def test_a_pod_that_moves_to_another_node_stays_in_the_platforms_pool() -> None:
    # The node of a train pod stops answering, and the Job is made anew
    story = given_training(train_pod_spec={"affinity": GPU_POOL}).after(10)
    story.pod_is_stopped("train").pod_of("train", phase="Running", conditions=UNREACHABLE).decides()
    for _ in range(5):
        story.after(120).decides()

    affinity = pod(story.job("train"))["affinity"]["nodeAffinity"]
    assert affinity["requiredDuringSchedulingIgnoredDuringExecution"] == {"nodeSelectorTerms": [POOL]}
    (term,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["preference"]["matchExpressions"][0]["values"] == ["node-1"]


def test_variables_reach_every_pod_and_never_replace_ours() -> None:
    proxies = [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}, {"name": "NO_PROXY", "value": ".svc"}]
    for job in jobs(extra_env=proxies):
        assert variables(job)["HTTPS_PROXY"] == "http://proxy:3128"
        assert variables(job)["NO_PROXY"] == ".svc"


@pytest.mark.parametrize("name", [names.ENV_ORDER, "HOME", "AWS_ACCESS_KEY_ID", "AWS_EC2_METADATA_DISABLED"])
def test_a_variable_that_the_operator_sets_itself_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} is set by the operator"):
        settings(extra_env=[{"name": name, "value": "x"}])


@pytest.mark.parametrize(
    "name", ["AWS_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ENDPOINT_URL", "HUGGING_FACE_HUB_TOKEN"]
)
def test_no_variable_gives_the_runs_of_all_tenants_one_identity(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} would give the runs of all tenants one identity or storage"):
        settings(extra_env=[{"name": name, "value": "x"}])


def test_settings_of_s3_clients_that_give_no_identity_are_passed_on() -> None:
    assert settings(extra_env=[{"name": "AWS_RETRY_MODE", "value": "adaptive"}]).extra_env


@pytest.mark.parametrize(
    ("given", "volume"),
    [
        ({"configMap": "corporate-ca"}, {"configMap": {"name": "corporate-ca"}}),
        ({"secret": "corporate-ca", "key": "root.pem"}, {"secret": {"secretName": "corporate-ca"}}),
    ],
)
def test_the_platforms_authorities_are_mounted_and_named_to_every_library(
    given: dict[str, str], volume: dict[str, Any]
) -> None:
    for job in jobs(ca_bundle=given):
        (mounted,) = [each for each in pod(job)["volumes"] if each["name"] == "ca-bundle"]
        source = mounted.get("configMap") or mounted["secret"]
        assert source.pop("items") == [{"key": given.get("key", "ca.crt"), "path": "ca.crt"}]
        assert mounted == {"name": "ca-bundle", **volume}
        (mount,) = [each for each in container(job)["volumeMounts"] if each["name"] == "ca-bundle"]
        assert mount["readOnly"] is True
        file = f"{mount['mountPath']}/ca.crt"
        named = {name: variables(job)[name] for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")}
        assert set(named.values()) == {file}


def test_authorities_come_from_one_place() -> None:
    with pytest.raises(ValidationError, match="set configMap or secret, not both"):
        settings(ca_bundle={"configMap": "a", "secret": "b"})


def test_labels_of_the_platform_are_on_the_pods_and_never_replace_ours() -> None:
    for job in jobs(pod_labels={"sidecar.istio.io/inject": "false"}):
        labels = job["spec"]["template"]["metadata"]["labels"]
        assert labels["sidecar.istio.io/inject"] == "false"
        assert labels[names.LABEL_MANAGED_BY] == names.MANAGED_BY
        assert "sidecar.istio.io/inject" not in job["metadata"]["labels"]


@pytest.mark.parametrize("label", [names.LABEL_STAGE, names.LABEL_MANAGED_BY, "kueue.x-k8s.io/queue-name"])
def test_a_label_that_the_operator_or_kueue_reads_is_refused(label: str) -> None:
    with pytest.raises(ValidationError, match=f"{label} is a label of the operator or of Kueue"):
        settings(pod_labels={label: "x"})


def test_a_misspelt_field_of_the_pods_spec_is_refused_by_its_name() -> None:
    with pytest.raises(ValidationError, match="runtimeClass"):
        settings(train_pod_spec={"runtimeClass": "nvidia"})
