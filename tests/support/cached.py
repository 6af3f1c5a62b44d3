"""A cache as the watches fill it: objects of stories, with the owners and labels that controllers give them."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from lora_contract import names
from lora_operator.effects.kinds import Key, Kind
from lora_operator.effects.memory.cache import Cache
from support.run_story import Story

_VERSIONS = itertools.count(1)


def versioned(body: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """An object as the API server tells of it after a change: a copy with a resourceVersion that is the newest."""
    body = copy.deepcopy(body)
    body["metadata"] |= {"resourceVersion": str(next(_VERSIONS)), **metadata}
    return body


def owned(kind: str, api_version: str, name: str, uid: str) -> list[dict[str, Any]]:
    """The ownerReferences of an object that another one controls."""
    return [{"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}]


def pod_of(job: dict[str, Any], status: dict[str, Any] | None = None) -> dict[str, Any]:
    """The first pod of a Job, as the Job controller makes it."""
    metadata = job["metadata"]
    labels = {
        **job["spec"]["template"]["metadata"]["labels"],
        "batch.kubernetes.io/job-name": metadata["name"],
        "batch.kubernetes.io/controller-uid": metadata["uid"],
        "batch.kubernetes.io/job-completion-index": "0",
    }
    return {
        "metadata": {
            "name": f"{metadata['name']}-0-abcde",
            "namespace": metadata["namespace"],
            "uid": f"pod-of-{metadata['uid']}",
            "labels": labels,
            "ownerReferences": owned("Job", "batch/v1", metadata["name"], metadata["uid"]),
        },
        "status": status or {},
    }


def workload_of(job: dict[str, Any]) -> dict[str, Any]:
    """The Workload of a Job, as Kueue makes it."""
    metadata = job["metadata"]
    return {
        "metadata": {
            "name": f"job-{metadata['name']}",
            "namespace": metadata["namespace"],
            "uid": f"workload-of-{metadata['uid']}",
            "labels": {"kueue.x-k8s.io/job-uid": metadata["uid"]},
            "ownerReferences": owned("Job", "batch/v1", metadata["name"], metadata["uid"]),
        },
        "spec": {"queueName": "team-a"},
    }


def show(cache: Cache, story: Story) -> Key:
    """Put the resource of a story and its Jobs into a cache; the key of the resource."""
    cache.put(Kind.FINETUNE, versioned(story.body))
    for job in story.jobs.values():
        cache.put(Kind.JOB, versioned(job))
    metadata = story.body["metadata"]
    return Key(metadata["namespace"], metadata["name"])


def stage_of(job: dict[str, Any]) -> str:
    """The stage of a Job."""
    return str(job["metadata"]["labels"][names.LABEL_STAGE])
