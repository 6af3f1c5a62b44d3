"""The Jobs as the API server, Pod Security and the user's tools see them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.client import V1Job

from lora_contract import names
from lora_contract.order import Order
from support.job_manifests import container, jobs, pod
from support.pod_reports import PLAN, RUN_ID
from support.run_story import given_finetune
from support.specs import GOOD_SPECS

EVERYTHING: dict[str, Any] = {
    "model.tokenSecretName": "hf-token",
    "model.cache": {"claimName": "model-cache"},
    "storage.secretName": "s3-credentials",
    "compute": {
        "gpus": 2,
        "cpu": "8",
        "memory": "32Gi",
        "nodeSelector": {"accelerator": "a100"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "scheduling": {"queueName": "team-a", "priorityClass": "high", "maxExecutionSeconds": 3600},
    "retries": 5,
}


def environment(job: dict[str, Any]) -> dict[str, Any]:
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container(job)["env"]}


@pytest.mark.parametrize("name", [name for name, changes in GOOD_SPECS.items() if "compute.nodes" not in str(changes)])
def test_every_good_spec_gives_jobs_that_kubernetes_knows_field_by_field(name: str) -> None:
    allowed = ("https://s3.example.org", "http://seaweedfs.storage.svc:8333")
    story = given_training_or_refused(GOOD_SPECS[name], allowed_s3_endpoints=allowed)
    for job in story:
        manifest = {key: value for key, value in job.items() if key != "status"}
        manifest["metadata"] = {k: v for k, v in job["metadata"].items() if k != "creationTimestamp"}
        assert V1Job.model_validate(manifest).model_dump(mode="json", by_alias=True, exclude_none=True) == manifest


def given_training_or_refused(changes: dict[str, Any], **platform: Any) -> list[dict[str, Any]]:
    try:
        return jobs(changes, **platform)
    except StopIteration:  # the platform refuses the spec, or the user suspends it: no Jobs
        return []


@pytest.mark.parametrize("job", jobs(EVERYTHING), ids=["prepare", "train"])
def test_pods_satisfy_pod_security_restricted(job: dict[str, Any]) -> None:
    security = pod(job)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] == 65532
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(job)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    kinds = {kind for volume in pod(job)["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"emptyDir", "persistentVolumeClaim", "projected"}
    assert pod(job)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("job", jobs(EVERYTHING), ids=["prepare", "train"])
def test_credentials_are_named_never_held(job: dict[str, Any]) -> None:
    variables = environment(job)
    for key in names.STORAGE_SECRET_KEYS:
        reference = variables[key]["secretKeyRef"]
        assert (reference["name"], reference["key"]) == ("s3-credentials", key)
        assert reference.get("optional", False) is (key not in names.STORAGE_SECRET_REQUIRED_KEYS)
    assert variables["HF_TOKEN"] == {"secretKeyRef": {"name": "hf-token", "key": "HF_TOKEN"}}
    sources = next(v for v in pod(job)["volumes"] if v["name"] == "progress")["projected"]["sources"]
    assert sources[0]["serviceAccountToken"]["audience"] == names.PROGRESS_AUDIENCE


@pytest.mark.parametrize(
    "storage",
    [{}, {"storage.secretName": "s3-credentials"}, {"storage.serviceAccountName": "trainer"}],
    ids=["neither", "Secret", "ServiceAccount"],
)
def test_no_pod_borrows_the_identity_of_its_node(storage: dict[str, Any]) -> None:
    for job in jobs(storage):
        assert environment(job)["AWS_EC2_METADATA_DISABLED"] == "true"


@pytest.mark.parametrize(
    ("storage", "disabled"),
    [({}, None), ({"storage.serviceAccountName": "trainer"}, None), ({"storage.secretName": "s3-credentials"}, "true")],
    ids=["neither", "ServiceAccount", "Secret"],
)
def test_a_platform_may_lend_the_identity_of_its_nodes_to_runs_without_keys(
    storage: dict[str, Any], disabled: str | None
) -> None:
    for job in jobs(storage, allow_node_identity=True):
        assert environment(job).get("AWS_EC2_METADATA_DISABLED") == disabled


def test_the_order_is_whole_and_the_train_order_carries_the_plan() -> None:
    prepare, train = (Order.model_validate_json(environment(job)[names.ENV_ORDER]) for job in jobs(EVERYTHING))

    assert (prepare.stage, prepare.run_id) == ("prepare", None)
    assert (train.stage, train.run_id, train.plan) == ("train", RUN_ID, PLAN)
    assert train.cache == names.CACHE_PATH
    assert train.spec.compute.gpus == 2


def test_only_the_train_job_waits_in_the_queue_and_holds_gpus() -> None:
    prepare, train = jobs(EVERYTHING)

    assert "kueue" not in json.dumps(prepare["metadata"])
    assert "nvidia.com/gpu" not in container(prepare)["resources"]["limits"]
    assert container(train)["resources"]["limits"] == {"memory": "32Gi", "nvidia.com/gpu": "2"}
    assert {k: v for k, v in train["metadata"]["labels"].items() if "kueue" in k} == {
        "kueue.x-k8s.io/queue-name": "team-a",
        "kueue.x-k8s.io/priority-class": "high",
        "kueue.x-k8s.io/max-exec-time-seconds": "3600",
    }
    assert "activeDeadlineSeconds" not in train["spec"]
    assert train["spec"]["backoffLimit"] == 5
    assert pod(train)["nodeSelector"] == {"accelerator": "a100"}
    # Kueue adds labels and selectors to the pod template itself; ours would be in its way.
    assert "kueue" not in json.dumps(train["spec"]["template"]["metadata"])


def test_without_a_queue_the_job_keeps_the_time_limit_itself() -> None:
    _, train = jobs({"scheduling.maxExecutionSeconds": 3600})

    assert train["spec"]["activeDeadlineSeconds"] == 3600
    assert "suspend" not in train["spec"]


def test_disruptions_and_checkpoints_count_nothing_and_user_errors_end_the_job() -> None:
    for job in jobs():
        first, second, third = job["spec"]["podFailurePolicy"]["rules"]
        assert first["onPodConditions"][0]["type"] == "DisruptionTarget"
        assert (second["action"], second["onExitCodes"]["values"]) == ("Ignore", [75])
        assert (third["action"], third["onExitCodes"]["values"]) == ("FailJob", [64, 65, 66, 77, 78, 80, 81, 85, 86])


def test_the_users_labels_stay_with_the_user_except_those_the_platform_lists() -> None:
    story = given_finetune(propagated_labels=("cost-center",))
    story.body["metadata"]["labels"] = {"cost-center": "42", "app.kubernetes.io/instance": "argo-app"}
    labels = story.decides().job("prepare")["metadata"]["labels"]

    assert labels["cost-center"] == "42"
    assert "app.kubernetes.io/instance" not in labels
    assert labels[names.LABEL_FINETUNE] == "triage"


def test_the_resource_owns_its_jobs() -> None:
    for job in jobs():
        (owner,) = job["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["controller"], owner["blockOwnerDeletion"]) == ("LoRAFineTune", True, True)


def test_the_platform_chooses_images_cache_and_gpu_name() -> None:
    prepare, train = jobs(
        prepare_image="registry.example/prepare:1",
        default_cache_claim="models",
        gpu_resource_name="amd.com/gpu",
        image_pull_secrets=("pull",),
    )

    assert container(prepare)["image"] == "registry.example/prepare:1"
    assert container(train)["image"] == "registry.example/lora-trainer:1"
    assert container(train)["resources"]["limits"]["amd.com/gpu"] == "1"
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": "models"}} in pod(prepare)["volumes"]
    assert pod(train)["imagePullSecrets"] == [{"name": "pull"}]


def test_the_image_is_told_its_stage() -> None:
    prepare, train = jobs(allow_cpu=True)

    assert (container(prepare)["args"], container(train)["args"]) == (["prepare"], ["train"])
    assert environment(train)[names.ENV_ALLOW_CPU] == "1"
    assert names.ENV_ALLOW_CPU not in environment(prepare)


def test_without_a_progress_endpoint_pods_carry_nothing_of_it() -> None:
    for job in jobs(progress_url="", progress_ca=""):
        assert "progress" not in {volume["name"] for volume in pod(job)["volumes"]}
        assert names.ENV_PROGRESS_URL not in environment(job)


def test_the_longest_name_gives_valid_job_and_pod_names() -> None:
    for stage, last_index in (("prepare", 0), ("train", 63), ("check", 0)):
        name = names.job_name("n" * names.MAX_NAME_LENGTH, stage, uid="u", spec_hash="h", run_token="")
        assert len(f"{name}-{last_index}") <= 63


def test_who_says_how_long_a_pod_stays_on_a_dead_node_is_heard() -> None:
    key = "node.kubernetes.io/unreachable"
    own = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 600}

    _, train = jobs({"compute.tolerations": [own]})

    seconds = {(t["key"], t["tolerationSeconds"]) for t in pod(train)["tolerations"]}
    assert seconds == {(key, 600), ("node.kubernetes.io/not-ready", 60)}
