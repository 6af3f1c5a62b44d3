"""Of N copies of one run each finds the one before it without a look at the others."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Any

import pytest

from lora_operator.core.observe.observed import IdenticalRun, Identity
from lora_operator.effects.kinds import Key, Kind
from lora_operator.effects.memory.cache import Cache
from lora_operator.effects.memory.identical_index import IdenticalIndex
from support.cached import show, versioned
from support.pod_reports import PREPARED
from support.run_story import Story, given_finetune, given_training
from support.story import START

SAME = Identity("team-a", "a" * 32, "s3://adapters/", "")


def run(number: int, **changes: Any) -> IdenticalRun:
    """A run that waits; higher numbers are younger."""
    fields: dict[str, Any] = {
        "identity": SAME,
        "name": f"run-{number}",
        "uid": str(number),
        "created": START + timedelta(seconds=number),
        "queue": None,
        "started": False,
        "running": False,
        "refused": False,
    }
    return IdenticalRun(**(fields | changes))


@pytest.fixture
def index() -> IdenticalIndex:
    """Three runs that wait; nobody is asked to look yet."""
    index = IdenticalIndex()
    for number in (3, 1, 2):
        index.update(str(number), run(number))
    return index


def ahead(index: IdenticalIndex, number: int, queue: str | None = None) -> set[str]:
    return {other.name for other in index.ahead_of(SAME, str(number), queue)}


def looks(index: IdenticalIndex) -> list[Key]:
    asked: list[Key] = []
    index.look = asked.append
    return asked


def test_the_oldest_goes_first(index: IdenticalIndex) -> None:
    assert ahead(index, 3) == {"run-1"}
    assert ahead(index, 1) == {"run-2"}


def test_one_that_started_goes_before_the_older(index: IdenticalIndex) -> None:
    index.update("3", run(3, started=True))

    assert ahead(index, 1) == {"run-3"}


def test_one_that_is_refused_holds_nobody_up_unless_it_started(index: IdenticalIndex) -> None:
    index.update("1", run(1, refused=True))
    assert ahead(index, 3) == {"run-2"}

    index.update("1", run(1, refused=True, started=True))
    assert ahead(index, 3) == {"run-1"}


def test_of_another_queue_only_one_that_trains_is_ahead(index: IdenticalIndex) -> None:
    assert ahead(index, 4, queue="other") == set()

    index.update("2", run(2, started=True, running=True))

    assert ahead(index, 4, queue="other") == {"run-2"}


@pytest.mark.parametrize(
    "identity",
    [SAME._replace(namespace="team-b"), SAME._replace(run_id="b" * 32), SAME._replace(output="s3://others/")],
)
def test_a_run_of_another_identity_is_not_ahead(index: IdenticalIndex, identity: Identity) -> None:
    index.update("0", run(0, identity=identity, started=True, running=True))

    assert ahead(index, 3) == {"run-1"}


def test_when_the_first_ends_the_next_looks_and_nobody_else(index: IdenticalIndex) -> None:
    asked = looks(index)

    index.update("1", None)

    assert asked == [Key("team-a", "run-2")]


def test_nobody_looks_where_the_first_stays_the_first(index: IdenticalIndex) -> None:
    asked = looks(index)

    index.update("1", run(1, started=True))
    index.update("3", None)

    assert asked == []


def test_when_the_one_that_trains_ends_the_first_of_every_queue_looks(index: IdenticalIndex) -> None:
    index.update("4", run(4, queue="other"))
    index.update("5", run(5, queue="other"))
    index.update("1", run(1, started=True, running=True))
    asked = looks(index)

    index.update("1", None)

    assert sorted(asked) == [Key("team-a", "run-2"), Key("team-a", "run-4")]


def test_a_run_that_changes_its_queue_leaves_the_old_one(index: IdenticalIndex) -> None:
    index.update("1", run(1, queue="other"))

    assert ahead(index, 3) == {"run-2"}
    assert ahead(index, 4, queue="other") == {"run-1"}


def test_the_order_holds_after_many_changes(index: IdenticalIndex) -> None:
    for _ in range(100):
        index.update("3", run(3, started=True))
        index.update("3", run(3))

    assert ahead(index, 3) == {"run-1"}
    index.update("1", None)
    assert ahead(index, 3) == {"run-2"}
    index.update("2", None)
    assert ahead(index, 3) == set()


def prepared(number: int) -> dict[str, Any]:
    """A copy whose prepare has ended."""
    body = copy.deepcopy(PREPARED_BODY)
    body["metadata"] |= {"name": f"copy-{number}", "uid": f"copy-{number}"}
    return body


def _prepared_body() -> dict[str, Any]:
    return given_finetune().decides().after(2).stage_succeeds("prepare", PREPARED).decides().body


PREPARED_BODY = _prepared_body()


def copies(number: int) -> tuple[Cache, Story]:
    """So many copies of a run, and the run, which trains."""
    cache = Cache()
    first = given_training()
    show(cache, first)
    for each in range(number):
        cache.put(Kind.FINETUNE, versioned(prepared(each)))
    return cache, first


def calls(function: Callable[[], object]) -> int:
    """How many functions are called, those of C included."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def costs(number: int) -> list[int]:
    """What it takes, among so many copies, to hear of one, to look at it, and to hear of the run that trains."""
    cache, first = copies(number)
    return [
        calls(lambda: cache.put(Kind.FINETUNE, versioned(prepared(3)))),
        calls(lambda: cache.observe(Key("team-a", "copy-3"))),
        calls(lambda: cache.put(Kind.FINETUNE, versioned(first.body))),
    ]


def test_a_copy_costs_the_same_among_two_thousand_as_among_twenty() -> None:
    few, many = costs(20), costs(2000)

    assert all(after <= 2 * before for before, after in zip(few, many, strict=True)), (few, many)


def test_of_two_thousand_copies_each_sees_the_one_that_trains() -> None:
    cache, _ = copies(2000)

    observed = cache.observe(Key("team-a", "copy-1999"))

    assert observed is not None
    assert [other.name for other in observed.identical] == ["triage"]
