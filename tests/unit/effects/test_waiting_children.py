"""Runs that wait for another one are looked at when something happens to it, and for no other reason."""

from __future__ import annotations

import pytest

from lora_operator.core.observe.observed import FineTune
from lora_operator.effects.kinds import Key, Kind
from lora_operator.effects.memory.cache import Cache
from support.cached import show, versioned
from support.pod_reports import PREPARED
from support.run_story import Story, given_finetune


def named(story: Story, name: str, namespace: str = "team-a") -> Story:
    story.body["metadata"] |= {"name": name, "uid": f"uid-of-{namespace}-{name}", "namespace": namespace}
    return story


def child(of: str, name: str = "child", namespace: str = "team-a") -> Story:
    return named(given_finetune({"from": {"run": of}}), name, namespace)


@pytest.fixture
def looks() -> list[Key]:
    return []


@pytest.fixture
def cache(looks: list[Key]) -> Cache:
    cache = Cache()
    cache.waiting_children.look = looks.append
    return cache


def test_a_child_is_looked_at_when_its_parent_is_created_changes_and_goes(cache: Cache, looks: list[Key]) -> None:
    waits = show(cache, child("base"))

    base = named(given_finetune(), "base")
    show(cache, base)
    show(cache, base.decides())
    cache.remove(Kind.FINETUNE, versioned(base.body))

    assert looks == [waits] * 3


def test_the_steps_of_its_parent_are_nothing_to_look_at(cache: Cache, looks: list[Key]) -> None:
    show(cache, child("base"))
    base = named(given_finetune(), "base").decides().after(2).stage_succeeds("prepare", PREPARED).decides().after(2)
    show(cache, base.pod_runs("train").decides())
    looks.clear()

    show(cache, base.after(10).reports_progress(3).decides())

    assert base.status.progress is not None
    assert looks == []


def test_a_run_of_another_namespace_is_no_parent(cache: Cache, looks: list[Key]) -> None:
    waits = show(cache, child("base"))
    show(cache, named(given_finetune(), "base", "team-b"))

    observed = cache.observe(waits)

    assert observed is not None
    assert observed.parent is None
    assert looks == []


def test_the_parent_is_observed_by_its_name(cache: Cache) -> None:
    waits = show(cache, child("base"))
    show(cache, named(given_finetune(), "base"))

    observed = cache.observe(waits)

    assert observed is not None
    assert observed.parent is not None
    assert observed.parent.name == "base"
    assert not observed.parents_in_circle


@pytest.mark.parametrize("circle", [["a"], ["a", "b"], ["a", "b", "c"]], ids=len)
def test_a_circle_is_found_whatever_its_length(cache: Cache, circle: list[str]) -> None:
    keys = [show(cache, child(of, name)) for name, of in zip(circle, circle[1:] + circle[:1], strict=True)]
    outside = show(cache, child("a", "outside"))

    observed = [cache.observe(key) for key in keys]

    assert all(each is not None and each.parents_in_circle for each in observed)
    beside = cache.observe(outside)
    assert beside is not None
    assert not beside.parents_in_circle


def test_who_has_seen_its_adapter_waits_no_more(cache: Cache, looks: list[Key]) -> None:
    base = named(given_finetune(), "base")
    story = child("base")
    show(cache, story)
    story.body["status"] = {"parent": {"uri": "s3://adapters/a", "manifestDigest": "a" * 64}}
    show(cache, story)

    show(cache, base)

    assert looks == []


def test_a_circle_that_is_broken_is_none_for_all_that_were_in_it(cache: Cache) -> None:
    first, second = show(cache, child("second", "first")), show(cache, child("first", "second"))
    apart = show(cache, child("second", "apart"))

    show(cache, child("base", "second"))

    assert not any(observed.parents_in_circle for key in (first, second, apart) if (observed := cache.observe(key)))


def test_a_look_at_a_run_in_a_long_chain_costs_no_more_than_at_another(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A user makes a chain of runs, each of which waits for the next; the last one does not exist
    keys = [show(cache, child(f"run-{number + 1}", f"run-{number}")) for number in reversed(range(200))]
    found = cache._finetune
    asked: list[str] = []

    def counted(namespace: str, name: str) -> FineTune | None:
        asked.append(name)
        return found(namespace, name)

    monkeypatch.setattr(cache, "_finetune", counted)
    # All of them are looked at, as every five minutes
    assert not any(observed.parents_in_circle for key in keys if (observed := cache.observe(key)))
    assert len(asked) <= len(keys)
