"""A complete list has the last word over what was known when it was asked for, and over nothing newer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lora_operator.effects.kinds import Key
from lora_operator.effects.memory.table import Table


@pytest.fixture
def table() -> Table[str]:
    """Knows of `one`, as of version 50."""
    table: Table[str] = Table(lambda body: str(body["is"]))
    table.put(body("one", 50, "later"))
    return table


def body(name: str, version: int, state: str, *, uid: str | None = None) -> Mapping[str, Any]:
    metadata = {"namespace": "team-a", "name": name, "uid": uid or name, "resourceVersion": str(version)}
    return {"metadata": metadata, "is": state}


def states(table: Table[str]) -> dict[str, str]:
    return {entry.key.name: entry.value for entry in table.entries()}


def apply_list(table: Table[str], turn: int, version: int, *bodies: Mapping[str, Any]) -> list[str]:
    """A list that was asked for at a turn; the names of what was dropped."""
    for each in bodies:
        table.put(each, list_turn=turn)
    listed = {Key("team-a", each["metadata"]["name"]) for each in bodies}
    return [entry.key.name for entry in table.keep_only(listed, list_turn=turn, version=version, within=None)]


def test_a_watch_that_lags_behind_changes_nothing(table: Table[str]) -> None:
    assert table.put(body("one", 40, "earlier")) is None
    assert states(table) == {"one": "later"}


def test_what_is_not_in_a_list_goes(table: Table[str]) -> None:
    assert apply_list(table, table.turn, 60) == ["one"]
    assert states(table) == {}


def test_what_came_after_the_list_stays(table: Table[str]) -> None:
    turn = table.turn
    table.put(body("two", 70, "new"))

    assert apply_list(table, turn, 60, body("one", 50, "later")) == []
    assert states(table) == {"one": "later", "two": "new"}


def test_what_changed_after_the_list_stays_as_it_is(table: Table[str]) -> None:
    turn = table.turn
    table.put(body("one", 70, "latest"))

    apply_list(table, turn, 60, body("one", 50, "later"))

    assert states(table) == {"one": "latest"}


def test_etcd_put_back_to_an_earlier_moment_is_taken_over(table: Table[str]) -> None:
    table.put(body("two", 55, "lost"))

    gone = apply_list(table, table.turn, 20, body("one", 10, "restored"))

    assert gone == ["two"]
    assert states(table) == {"one": "restored"}
    assert table.put(body("one", 21, "goes on")) is not None


def test_etcd_put_back_with_a_bumped_version_is_taken_over(table: Table[str]) -> None:
    apply_list(table, table.turn, 1_000_000_000, body("one", 10, "restored"))

    assert states(table) == {"one": "restored"}


def test_an_object_that_was_removed_comes_back_with_etcd_and_not_with_a_late_event(table: Table[str]) -> None:
    table.remove(Key("team-a", "one"), "one")
    assert table.put(body("one", 60, "late event")) is None

    apply_list(table, table.turn, 20, body("one", 10, "restored"))

    assert states(table) == {"one": "restored"}


def test_what_a_list_dropped_does_not_come_back_with_a_late_event(table: Table[str]) -> None:
    apply_list(table, table.turn, 60)

    assert table.put(body("one", 55, "late event")) is None


def test_what_was_removed_after_a_list_was_asked_for_does_not_come_back_with_it(table: Table[str]) -> None:
    turn = table.turn
    table.remove(Key("team-a", "one"), "one")

    apply_list(table, turn, 60, body("one", 50, "later"))

    assert states(table) == {}


def test_removals_are_forgotten_after_two_lists(table: Table[str]) -> None:
    table.remove(Key("team-a", "one"), "one")
    for version in (60, 70, 80):
        apply_list(table, table.turn, version)

    assert table.put(body("one", 90, "again")) is not None
