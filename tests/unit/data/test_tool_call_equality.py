"""Arguments of calls are compared as JSON compares."""

from __future__ import annotations

from typing import Any

import pytest

from lora_trainer.data.tool_calls.equality import equal


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (1, "1", False),
        (None, False, False),
        ({"a": 1, "b": [1, 2]}, {"b": [1.0, 2], "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([1, 2], [2, 1], False),
        ([], {}, False),
        (2**60, 2**60 + 1, False),
        ("a", "a ", False),
    ],
)
def test_values_are_compared_as_json(a: Any, b: Any, same: bool) -> None:
    assert equal(a, b) is same
    assert equal(b, a) is same
    assert equal([{"x": a}], [{"x": b}]) is same


def test_values_nested_deeply_are_compared_without_recursion() -> None:
    def nested(inner: Any) -> Any:
        for _ in range(50_000):
            inner = [inner]
        return inner

    assert equal(nested(1), nested(1))
    assert not equal(nested(1), nested(2))
