"""Pods that a ResourceQuota or LimitRange refuses: the status says which field to set, or whom to ask."""

from __future__ import annotations

import pytest

from lora_operator.core.observe.observed import WarningEvent, Warnings
from support.pod_reports import PREPARED
from support.run_story import Story, given_finetune

PREFIX = 'Error creating: pods "triage-train-0-abcde" is forbidden: '
NO_CPU_LIMIT = PREFIX + "failed quota: compute: must specify limits.cpu for: trainer"


def told(stage: str, words: str) -> Story:
    """A run whose pod of a stage the API server refuses with these words."""
    story = given_finetune().decides()
    if stage == "train":
        story.after(2).stage_succeeds("prepare", PREPARED).decides()
    story.after(5).decides()
    job = story.job(stage)["metadata"]["name"]
    story.warnings = Warnings(job, story.monotonic, (WarningEvent("FailedCreate", words, story.now),))
    return story.decides()


@pytest.mark.parametrize(
    ("stage", "words", "says"),
    [
        ("train", NO_CPU_LIMIT, "Set spec.compute.cpuLimit"),
        ("train", NO_CPU_LIMIT, "trainer.cpuLimit of the chart"),
        ("prepare", NO_CPU_LIMIT, "Ask the platform team to set trainer.prepare.cpuLimit of the chart"),
        ("prepare", NO_CPU_LIMIT, "A default in a LimitRange of the namespace helps as well."),
        (
            "train",
            PREFIX + "failed quota: disk: must specify requests.ephemeral-storage for: trainer",
            "set trainer.ephemeralStorage of the chart",
        ),
        (
            "prepare",
            PREFIX + "failed quota: compute: must specify limits.cpu for: istio-proxy",
            "Something injected istio-proxy, which set no limits.cpu",
        ),
        (
            "train",
            PREFIX + "[maximum cpu usage per Container is 2, but limit is 4, maximum memory usage per Container is"
            " 8Gi, but limit is 16Gi]",
            "Lower spec.compute.cpuLimit",
        ),
        (
            "train",
            PREFIX + "maximum memory usage per Pod is 8Gi, but limit is 17179869184",
            "Lower spec.compute.memory of the run: a LimitRange of the namespace has the maximum 8Gi.",
        ),
        (
            "prepare",
            PREFIX + "minimum memory usage per Container is 4Gi, but request is 2Gi",
            "raise trainer.prepare.memory of the chart",
        ),
        ("train", PREFIX + "maximum cpu usage per Container is 2.  No limit is specified", "Set spec.compute.cpuLimit"),
        (
            "train",
            PREFIX + "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
            "Set spec.compute.cpuLimit",
        ),
        (
            "train",
            'Pod "x" is invalid: spec.containers[0].resources.requests: Invalid value: "4": must be less than or equal'
            " to cpu limit of 500m",
            "Set spec.compute.cpuLimit",
        ),
        (
            "train",
            PREFIX + "exceeded quota: compute, requested: requests.cpu=4,requests.memory=16Gi, used:"
            " requests.cpu=0,requests.memory=0, limited: requests.cpu=2,requests.memory=64Gi",
            "Lower spec.compute.cpu of the run: the quota never gives more than 2 cpu, so waiting is in vain.",
        ),
        (
            "train",
            PREFIX + "exceeded quota: gpus, requested: requests.nvidia.com/gpu=8, used: requests.nvidia.com/gpu=0,"
            " limited: requests.nvidia.com/gpu=4",
            "Lower spec.compute.gpus",
        ),
    ],
)
def test_the_field_to_change_is_named(stage: str, words: str, says: str) -> None:
    story = told(stage, words)

    assert says in story.message
    assert "forbidden" in story.message or "invalid" in story.message, "the API server's own words stay"


def test_a_quota_that_is_only_full_is_waited_for() -> None:
    words = (
        PREFIX + "exceeded quota: compute, requested: requests.cpu=4, used: requests.cpu=62, limited: requests.cpu=64"
    )

    story = told("train", words)

    assert story.condition("Reconciling") == ("True", "QuotaExceeded")
    assert story.message == words


def test_long_words_of_others_do_not_cut_the_advice() -> None:
    story = told("train", f"{NO_CPU_LIMIT} {'x' * 2000}")

    assert "Set spec.compute.cpuLimit" in story.message
    assert len(story.message) <= 1024


def test_what_is_no_rule_of_these_is_quoted_alone() -> None:
    words = 'admission webhook "policy.example" denied the request: no'

    assert told("train", words).message == words
