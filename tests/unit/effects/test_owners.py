"""Whose an object is follows from namespace, owner and what the operator itself wrote; a uid alone decides nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from lora_contract import names
from lora_operator.effects.kinds import Key, Kind
from lora_operator.effects.memory.cache import Cache
from support.cached import owned, pod_of, show, versioned, workload_of
from support.run_story import Story, given_finetune
from support.sweep_stories import SweepStory, given_sweep

OTHER = "team-b"

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def story() -> Story:
    """A run whose prepare Job exists."""
    return given_finetune().decides()


def observed_jobs(cache: Cache, key: Key) -> list[str]:
    observed = cache.observe(key)
    assert observed is not None
    return [job.uid for job in observed.jobs]


def observed_pods(cache: Cache, key: Key) -> list[str]:
    observed = cache.observe(key)
    assert observed is not None
    return [pod.uid for pod in observed.pods]


def in_other_namespace(body: dict[str, Any]) -> None:
    body["metadata"]["namespace"] = OTHER


def without_controller_flag(body: dict[str, Any]) -> None:
    body["metadata"]["ownerReferences"][0]["controller"] = False


def owned_by_another_kind(body: dict[str, Any]) -> None:
    body["metadata"]["ownerReferences"][0]["kind"] = "ConfigMap"


def owned_by_another_group(body: dict[str, Any]) -> None:
    body["metadata"]["ownerReferences"][0]["apiVersion"] = "example.org/v1"


def without_our_label(body: dict[str, Any]) -> None:
    body["metadata"]["labels"].pop(names.LABEL_MANAGED_BY)


#: What makes an object somebody else's, whatever its kind.
OF_SOMEBODY_ELSE: list[Change] = [
    in_other_namespace,
    without_controller_flag,
    owned_by_another_kind,
    owned_by_another_group,
    without_our_label,
]


def of_no_stage(body: dict[str, Any]) -> None:
    body["metadata"]["labels"][names.LABEL_STAGE] = "other"


def with_another_name(body: dict[str, Any]) -> None:
    body["metadata"]["name"] = "triage-train-of-mallory"


def with_the_name_of_another_stage(body: dict[str, Any]) -> None:
    body["metadata"]["name"] = body["metadata"]["name"].replace("prepare", "train")


def forged(body: dict[str, Any], *changes: Change) -> dict[str, Any]:
    """A copy with a uid of its own and some changes."""
    body = copy.deepcopy(body)
    body["metadata"]["uid"] = "forged"
    for change in changes:
        change(body)
    return versioned(body)


@pytest.mark.parametrize("change", [*OF_SOMEBODY_ELSE, of_no_stage, with_another_name, with_the_name_of_another_stage])
def test_a_job_counts_only_if_the_operator_made_it(cache: Cache, story: Story, change: Change) -> None:
    (job,) = story.jobs.values()
    key = show(cache, story)
    cache.remove(Kind.JOB, versioned(job))

    cache.put(Kind.JOB, forged(job, change))

    assert observed_jobs(cache, key) == []


def test_a_job_of_an_earlier_spec_of_the_run_counts(cache: Cache, story: Story) -> None:
    key = show(cache, story)
    earlier = observed_jobs(cache, key)
    story.after(1).user_sets({"updatePolicy": "Rerun", "lora.r": 8}).decides()

    show(cache, story)

    assert len(earlier) == 1
    assert observed_jobs(cache, key) == [*earlier, *(job["metadata"]["uid"] for job in story.jobs.values())]


def of_another_job_of_that_name(body: dict[str, Any]) -> None:
    body["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] = "earlier"


def of_a_job_of_another_name(body: dict[str, Any]) -> None:
    body["metadata"]["labels"]["batch.kubernetes.io/job-name"] = "earlier"


@pytest.mark.parametrize(
    "change",
    [
        in_other_namespace,
        without_controller_flag,
        owned_by_another_kind,
        owned_by_another_group,
        of_another_job_of_that_name,
        of_a_job_of_another_name,
    ],
)
@pytest.mark.parametrize("gone", [False, True], ids=["present", "gone"])
def test_a_pod_counts_only_if_its_job_made_it(cache: Cache, story: Story, change: Change, gone: bool) -> None:
    key = show(cache, story)
    (job,) = story.jobs.values()
    false = forged(pod_of(job), change)

    cache.put(Kind.POD, false)
    if gone:
        cache.remove(Kind.POD, versioned(false))

    assert observed_pods(cache, key) == []


@pytest.mark.parametrize("gone", [False, True], ids=["present", "gone"])
def test_the_pod_of_the_job_counts(cache: Cache, story: Story, gone: bool) -> None:
    key = show(cache, story)
    (job,) = story.jobs.values()
    pod = versioned(pod_of(job))

    looks = cache.put(Kind.POD, pod)
    if gone:
        cache.remove(Kind.POD, versioned(pod))

    assert looks == key
    assert observed_pods(cache, key) == [pod["metadata"]["uid"]]


@pytest.mark.parametrize(
    "change", [in_other_namespace, without_controller_flag, owned_by_another_kind, owned_by_another_group]
)
def test_a_workload_counts_only_if_the_job_controls_it(cache: Cache, story: Story, change: Change) -> None:
    key = show(cache, story)
    (job,) = story.jobs.values()

    cache.put(Kind.WORKLOAD, forged(workload_of(job), change))

    observed = cache.observe(key)
    assert observed is not None
    assert observed.workloads == ()


@pytest.mark.parametrize("kind", [Kind.JOB, Kind.POD, Kind.WORKLOAD])
def test_an_object_of_another_namespace_asks_for_no_look(cache: Cache, story: Story, kind: Kind) -> None:
    show(cache, story)
    (job,) = story.jobs.values()
    body = {Kind.JOB: job, Kind.POD: pod_of(job), Kind.WORKLOAD: workload_of(job)}[kind]

    assert cache.put(kind, forged(body, in_other_namespace)) is None


@pytest.fixture
def sweep() -> SweepStory:
    """A sweep with two trials under way."""
    return given_sweep().decides()


def not_a_trial(body: dict[str, Any]) -> None:
    body["metadata"]["name"] = "rates-99"


@pytest.mark.parametrize("change", [*OF_SOMEBODY_ELSE, not_a_trial])
def test_a_run_is_a_trial_only_if_the_sweep_made_it(cache: Cache, sweep: SweepStory, change: Change) -> None:
    cache.put(Kind.SWEEP, versioned(sweep.body))
    false = forged(next(iter(sweep.runs.values())), change)

    cache.put(Kind.FINETUNE, false)

    observed = cache.observe_sweep(Key("team-a", "rates"))
    assert observed is not None
    assert observed.runs == ()


def test_the_trials_of_a_sweep_are_its_runs_and_ask_for_a_look_at_it(cache: Cache, sweep: SweepStory) -> None:
    cache.put(Kind.SWEEP, versioned(sweep.body))
    bodies = [versioned(run) for run in sweep.runs.values()]

    for body in bodies:
        cache.put(Kind.FINETUNE, body)

    observed = cache.observe_sweep(Key("team-a", "rates"))
    assert observed is not None
    assert [run.name for run in observed.runs] == ["rates-00", "rates-01"]
    assert cache.sweep_of(Kind.FINETUNE, bodies[0]) == Key("team-a", "rates")


def test_a_run_of_another_namespace_asks_for_no_look_at_a_sweep(cache: Cache, sweep: SweepStory) -> None:
    cache.put(Kind.SWEEP, versioned(sweep.body))
    reference = owned(names.SWEEP_KIND, names.API_VERSION, "rates", sweep.body["metadata"]["uid"])
    false = versioned({"metadata": {"name": "x", "namespace": OTHER, "uid": "x", "ownerReferences": reference}})

    assert cache.sweep_of(Kind.FINETUNE, false) is None
