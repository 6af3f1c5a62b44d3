"""The longest name that is accepted can run: the API server takes every object that is made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from kubernetes import client

from lora_contract import names
from lora_contract.finetune import LoRAFineTuneSpec
from lora_contract.status import PlanStatus
from lora_operator.core.manifests.job import job_manifest, service_manifest
from lora_operator.core.manifests.network_policy import group_policy
from lora_operator.core.observe.observed import FineTune, Job
from support.api_server import CRD, FineTunes, eventually, manifest
from support.specs import BASE, changed
from support.story import settings
from support.sweeps import Sweeps, sweep

LONGEST = "n" * names.MAX_NAME_LENGTH
#: As many pods as a run may have: the last has the longest hostname.
LARGEST = changed({"compute": {"nodes": 64, "gpus": 1}, "training.effectiveBatchSize": 64})
PLAN = PlanStatus(rows=1, tokens=1, total_steps=1)


def job_of(body: dict[str, Any], stage: names.Stage) -> dict[str, Any]:
    """The Job of a stage of a run, as the operator makes it."""
    run = FineTune.from_dict(body)
    assert isinstance(run.spec, LoRAFineTuneSpec)
    name = names.job_name(run.name, stage, uid=run.uid, spec_hash="0" * 64, run_token="")
    return job_manifest(run, run.spec, settings(), stage=stage, name=name, spec_hash="0" * 64, plan=PLAN)


def of_the_time_before(length: int) -> dict[str, Any]:
    """The CRD of a release that accepted longer names."""
    definition: dict[str, Any] = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    (version,) = definition["spec"]["versions"]
    for rule in version["schema"]["openAPIV3Schema"]["x-kubernetes-validations"]:
        rule["rule"] = rule["rule"].replace(f"<= {names.MAX_NAME_LENGTH}", f"<= {length}")
    return definition


@contextmanager
def served(api: client.ApiClient, definition: dict[str, Any], longest: str, accepted: bool) -> Iterator[None]:
    """The CRD is served once a name is accepted, or no longer."""
    resources = client.ApiextensionsV1Api(api)
    body = {"spec": {"versions": definition["spec"]["versions"]}}
    resources.patch_custom_resource_definition(definition["metadata"]["name"], body)
    names_of = FineTunes(api, "default")

    def is_served() -> bool:
        try:
            names_of.create(longest, BASE, dry_run=True)
        except client.ApiException:
            return not accepted
        return accepted

    eventually("the CRD is served", is_served)
    yield


@pytest.mark.parametrize("stage", names.STAGES)
def test_every_job_of_the_longest_name_is_taken(
    finetunes: FineTunes, api: client.ApiClient, namespace: str, stage: names.Stage
) -> None:
    job = job_of(finetunes.create(LONGEST, LARGEST), stage)

    client.BatchV1Api(api).create_namespaced_job(namespace, job)


def test_a_job_of_a_longer_name_would_not_be(finetunes: FineTunes, api: client.ApiClient, namespace: str) -> None:
    body = finetunes.create("n", LARGEST)
    body["metadata"]["name"] = LONGEST + "n"

    with pytest.raises(client.ApiException) as caught:
        client.BatchV1Api(api).create_namespaced_job(namespace, job_of(body, "prepare"))

    assert "invalid DNS label" in json.loads(caught.value.body)["message"]


def test_its_pods_are_made_and_find_each_other(finetunes: FineTunes, api: client.ApiClient, namespace: str) -> None:
    body = finetunes.create(LONGEST, changed({"compute": {"nodes": 2, "gpus": 1}}))
    created = client.BatchV1Api(api).create_namespaced_job(namespace, job_of(body, "train"))
    job = Job.from_dict(api.sanitize_for_serialization(created))
    service = service_manifest(FineTune.from_dict(body), settings(), job)

    client.CoreV1Api(api).create_namespaced_service(namespace, service)
    client.NetworkingV1Api(api).create_namespaced_network_policy(namespace, group_policy(namespace, settings(), job))

    def pods() -> list[Any]:
        found: list[Any] = client.CoreV1Api(api).list_namespaced_pod(namespace).items
        return found

    eventually("both pods are made", lambda: len(pods()) == 2)
    assert {pod.spec.hostname for pod in pods()} == {f"{job.name}-0", f"{job.name}-1"}
    assert names.group_address(job.name).startswith(f"{job.name}-0.{service['metadata']['name']}:")


def test_the_last_trial_of_the_longest_sweep_may_be_made(finetunes: FineTunes, sweeps: Sweeps) -> None:
    longest = "s" * names.MAX_SWEEP_NAME_LENGTH
    sweeps.create(longest, sweep())

    finetunes.create(names.trial_name(longest, 99), BASE)


def test_an_object_of_the_time_before_the_limit_can_still_be_changed(
    finetunes: FineTunes, api: client.ApiClient
) -> None:
    before, now = of_the_time_before(46), yaml.safe_load(CRD.read_text(encoding="utf-8"))
    longer = "n" * 46
    with served(api, before, longer, accepted=True):
        finetunes.create(longer, BASE)
    with served(api, now, longer, accepted=False):
        finetunes.write_status(longer, {"phase": "Failed", "observedGeneration": 1})
        finetunes.replace(longer, BASE | {"suspend": True})

    assert finetunes.get(longer)["status"]["phase"] == "Failed"
    finetunes.delete(longer)


def test_the_limit_is_said_at_apply(finetunes: FineTunes) -> None:
    with pytest.raises(client.ApiException, match=f"must be at most {names.MAX_NAME_LENGTH} characters"):
        finetunes.create(manifest(LONGEST + "n", BASE)["metadata"]["name"], BASE)
